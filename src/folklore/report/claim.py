"""One claim as the template wants it: strings, and lists of strings, in the order of printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from folklore.report.numbers import (
    MISSING,
    count,
    decimals_for,
    effect_text,
    interval_text,
    is_number,
    number,
    p_value,
    percent,
)
from folklore.report.words import Claim, amount, paragraph, quoted, tidy, verdict_name

SHORT_HASH = 12
_FORMS = {"printed": "as printed", "right": "put right", "derived": "derived"}
_SAID = {
    "printed": "in the lecture",
    "right": "right",
    "derived": "it follows",
}  # of formulas, some of which are said in words
_EDGES = {"low": "lowest rate tried", "high": "highest rate tried"}


def view(claim: Claim) -> dict[str, object]:
    """The page of a claim. Numbers that do not exist are left out or become a dash, never a crash."""
    return {
        "id": claim["id"],
        "title": tidy(claim["title"]),
        "family": family_name(claim),
        "measured": is_measured(claim),
        "verdict": claim["verdict"],
        "verdict_name": verdict_name(claim),
        "labels": labels(claim),
        "summary": tidy(claim.get("summary")),
        "strip": _strip(claim),
        "source": _source(claim),
        "sections": _sections(claim),
        "formulas": [
            dict(one) | {"form": _SAID[one["form"]], "words": quoted(one["words"])}
            for one in claim.get("formulas") or []
        ],
        "tables": [
            table for table in (_arms(claim), _checks(claim), _robustness(claim), *_extra(claim)) if table
        ],
        "facts": _facts(claim),
        "notes": [tidy(note) for note in claim.get("notes") or []],
        "limits": tidy(claim.get("limits")),
        "fine_print": _fine_print(claim),
        "query": str(claim.get("run_query") or ""),
    }


def claim_tables(claim: Claim) -> list[tuple[str, Mapping[str, object]]]:
    """The tables that a claim's page shows, as they lie in `results/tables`: name, and `rows` with, where they are lists, `columns`."""
    parts = {"": claim.get("rows"), "-checks": claim.get("checks"), "-robustness": claim.get("robustness")}
    own = {f"-{number}": one for number, one in enumerate(claim.get("tables") or [], start=1)}
    held = {suffix: {"rows": rows} for suffix, rows in parts.items() if rows} | own
    return [(f"{claim['id']}{suffix}", one) for suffix, one in held.items()]


def is_measured(claim: Claim) -> bool:
    """Whether the verdict is about the size of an effect; exact claims and orders hold or fail."""
    return claim["verdict"] in ("supported", "refuted", "inconclusive")


def family_name(claim: Claim) -> str:
    """`batch-size` as a heading: `Batch size`."""
    return str(claim.get("family") or "other").replace("-", " ").replace("_", " ").capitalize()


def labels(claim: Claim) -> list[str]:
    """What belongs beside the verdict wherever it is shown."""
    named = {
        "fragile": claim.get("fragile"),
        "exploratory": claim.get("registered") is False,
        "equivalence": claim.get("equivalence"),
    }
    return [name for name, applies in named.items() if applies]


def table(
    caption: str, columns: Sequence[object], rows: Sequence[Sequence[object]], **more: object
) -> dict[str, object]:
    """A table for the template.

    `numeric` lists the columns that are set flush right, `groups` are rows under a subheading of their own;
    both are worked out from the rows unless they are given.
    """
    cells = [[cell_text(value) for value in row] for row in rows]
    numeric = [
        index
        for index in range(len(columns))
        if _is_numeric([row[index] for row in rows if len(row) > index])
    ]
    return {
        "caption": tidy(caption),
        "columns": [breakable(tidy(name)) for name in columns],
        "groups": [{"name": "", "rows": cells}],
        "numeric": numeric,
    } | more


def cell_text(value: object) -> str:
    """A value of any kind as text that can be broken into lines."""
    return breakable(tidy(value)) if isinstance(value, str) else number(value)


def breakable(text: str, longest: int = 22) -> str:
    """The text with invisible break points in words that no column could hold."""
    return " ".join(word if len(word) <= longest else _break(word, longest) for word in text.split(" "))


def _break(word: str, longest: int) -> str:
    soft = "".join(letter + ("\u200b" if letter in "_/=,.:;|-" else "") for letter in word)
    pieces = [
        piece[start : start + longest]
        for piece in soft.split("\u200b")
        for start in range(0, len(piece), longest)
    ]
    return "\u200b".join(pieces)


def _is_numeric(values: Sequence[object]) -> bool:
    """True when a column holds numbers, given as such or already written out."""
    shown = [value for value in values if value not in (None, "", MISSING)]
    return bool(shown) and all(
        is_number(value) or (isinstance(value, str) and _written(value)) for value in shown
    )


def _written(text: str) -> bool:
    return text[:1].isdigit() or (text[:1] in "+-−[<" and text[1:2].strip().isdigit())


def _source(claim: Claim) -> str:
    numbers = [f"lecture {lecture}" for lecture in claim.get("lectures") or []]
    names = [paragraph(name) for name in claim.get("lecture_names") or []]
    if len(names) != len(numbers):
        return "; ".join(numbers + names)
    return "; ".join(f"{number}, {name}" for number, name in zip(numbers, names, strict=True))


def _sections(claim: Claim) -> list[dict[str, object]]:
    rule = [tidy(text) for text in _as_list(claim.get("rule"))]
    said = [": ".join(filter(None, [quoted(paragraph(claim.get("paper"))), tidy(claim.get("reported"))]))]
    trained = [" ".join(filter(None, [tidy(claim.get("trained")), _cost(claim)]))]
    decides = [tidy((claim.get("criterion") or {}).get("text"))]
    parts = [("The rule", rule), ("Who says so", said), ("What was done", trained), ("What decides", decides)]
    return [{"head": head, "text": [t for t in texts if t]} for head, texts in parts if any(texts)]


def _as_list(value: object) -> Sequence[object]:
    return [value] if isinstance(value, str) else value or []


def _cost(claim: Claim) -> str:
    updates, seconds = claim.get("core_updates"), claim.get("core_seconds")
    if not is_number(updates) or not updates:
        return ""
    about = f", about {count(max(1, round(seconds)))} core-seconds" if is_number(seconds) else ""
    return f"It took {count(updates)} parameter updates{about}."


def _strip(claim: Claim) -> list[list[str]]:
    """The four or five numbers that a hurried reader wants, as (name, value)."""
    if not is_number(claim.get("effect")):
        return []
    corrected = claim.get("p_corrected")
    pairs = [
        ("Effect", _with_unit(claim, effect_text(claim["effect"], claim.get("interval"), _scale(claim)))),
        ("95 % interval", _interval(claim, "interval")),
        ("Smallest that matters", _with_unit(claim, _scaled(claim, "delta"))),
        ("Replicates", count(claim.get("n"))),
        ("p, corrected", p_value(corrected) if is_number(corrected) else p_value(claim.get("p"))),
    ]
    if not is_number(corrected):
        pairs[-1] = ("p, uncorrected", pairs[-1][1])
    return [[name, value] for name, value in pairs if value != MISSING]


def _facts(claim: Claim) -> list[list[str]]:
    """The full statistics of a measured claim, as (name, value); what the strip shows is not repeated."""
    if not is_number(claim.get("effect")):
        return []
    pairs = [
        ("90 % interval", _interval(claim, "interval90")),
        ("bootstrap interval (BCa, 95 %)", _interval(claim, "bca")),
        ("p of the paired t-test", p_value(claim.get("p_t"))),
        *_deciding_p(claim),
        ("p by permutation", p_value(claim.get("p_permutation"))),
        ("p after Holm’s correction", p_value(claim.get("p_corrected"))),
        (
            "replicates planned",
            count(claim.get("n_planned")) if claim.get("n_planned") != claim.get("n") else MISSING,
        ),
        ("power after correction", percent(claim.get("power"))),
        ("replicates for a power of 80 %", count(claim.get("replicates_for_power"))),
        ("diverged runs", count(claim.get("diverged"))),
    ]
    return [[name, value] for name, value in pairs if value != MISSING]


def _deciding_p(claim: Claim) -> list[tuple[str, str]]:
    """The p-value that is corrected, where it is not the paired t-test's."""
    p = claim.get("p")
    if p == claim.get("p_t"):
        return []
    name = "p of two one-sided tests" if claim.get("equivalence") else "largest p of the rule’s parts"
    return [(name, p_value(p))]


def _scale(claim: Claim) -> float:
    return claim.get("scale") or 1


def _scaled(claim: Claim, field: str) -> str:
    value = claim.get(field)
    return number(value * _scale(claim)) if is_number(value) else MISSING


def _with_unit(claim: Claim, text: str) -> str:
    unit = tidy(claim.get("unit"))
    unit = unit.removesuffix("s") if unit and text == "1" else unit
    return " ".join(filter(None, [text, unit])) if text != MISSING else MISSING


def _interval(claim: Claim, field: str) -> str:
    decimals = decimals_for(claim.get("interval"), _scale(claim), claim.get("effect"))
    return interval_text(claim.get(field), _scale(claim), decimals)


def _arms(claim: Claim) -> dict[str, object] | None:
    """The arms of the main ground; those of the checks lie in the claim's CSV file, and their contrasts in the next table."""
    rows = [row for row in claim.get("rows") or [] if row.get("variant", "main") == "main"]
    if not rows:
        return None
    metric, unit = claim.get("metric") or "score", _level_unit(claim)
    columns = ["arm", f"mean{unit}", "95 % interval", "runs", "diverged", "learning rate", "note"]
    noted = any(row.get("edge") for row in rows)
    caption = f"Each arm by itself: its mean over fresh replicates and the learning rate that tuning chose. What is compared: {metric}."
    shown = [_arm(claim, row)[: 6 + noted] for row in rows]
    return table(caption, columns[: 6 + noted], shown, numeric=[1, 2, 3, 4, 5])


def _level_unit(claim: Claim) -> str:
    """A level of accuracy is a percentage, a difference of two levels is in points; only an effect is counted from what it is `above`."""
    unit = str(claim.get("unit") or "")
    unit = {"points": "%", "point": "%"}.get(unit, "" if unit.startswith("above ") else unit)
    return f" ({unit})" if unit else ""


def _arm(claim: Claim, row: Mapping[str, object]) -> list[str]:
    scale, limits = _scale(claim), (row.get("lo"), row.get("hi"))
    decimals = decimals_for(limits, scale, row.get("mean"))
    return [
        cell_text(str(row.get("arm", ""))),
        effect_text(row.get("mean"), limits, scale, signed=False),
        interval_text(limits, scale, decimals),
        count(row.get("n")),
        count(row.get("diverged")),
        number(row.get("lr")),
        _EDGES.get(str(row.get("edge") or ""), ""),
    ]


def _checks(claim: Claim) -> dict[str, object] | None:
    checks = claim.get("checks") or []
    if not checks:
        return None
    rows = [
        [check["name"], _FORMS.get(check.get("form"), check.get("form") or ""), number(check.get("error"), 2),
         number(check.get("tolerance"), 2), "holds" if check.get("holds") else "fails"]
        for check in checks
    ]  # fmt: skip
    caption = "Exact checks: the largest error found, beside the error that is tolerated."
    columns = ["formula", "form", "largest error", "tolerance", "outcome"]
    if claim.get("kind") == "Q":
        caption = "The parts of the order: seeds that break it, beside the number that may."
        columns, rows = (
            ["part", "seeds that break it", "allowed", "outcome"],
            [row[:1] + row[2:] for row in rows],
        )
    return table(caption, columns, rows, numeric=[len(columns) - 3, len(columns) - 2])


def _robustness(claim: Claim) -> dict[str, object] | None:
    rows = claim.get("robustness") or []
    if not rows:
        return None
    printed = {"unit": claim.get("unit"), "scale": claim.get("scale")}
    shown = [
        [row["label"], verdict_name(row), amount(printed | dict(row)) or MISSING,
         count(row.get("n")), "yes" if row.get("flips") else "no"]
        for row in rows
    ]  # fmt: skip
    columns = ["what was changed", "verdict", "effect, 95 % interval", "n", "flips"]
    return table("Robustness: the same criterion after one change.", columns, shown, numeric=[3])


def _extra(claim: Claim) -> list[dict[str, object]]:
    return [
        table(extra.get("caption", ""), extra["columns"], extra["rows"])
        for extra in claim.get("tables") or []
    ]


def _fine_print(claim: Claim) -> str:
    """Where the criterion and the runs of this page are written down."""
    criterion = claim.get("criterion") or {}
    parts = []
    if criterion.get("hash"):
        commit = (
            f", fixed at commit {str(criterion['commit'])[:SHORT_HASH]}" if criterion.get("commit") else ""
        )
        parts.append(f"Criterion {str(criterion['hash'])[:SHORT_HASH]}{commit}{_changes(criterion)}.")
    if claim.get("run_keys_sha256"):
        parts.append(f"Run keys {str(claim['run_keys_sha256'])[:SHORT_HASH]}.")
    return " ".join(parts)


def _changes(criterion: Mapping[str, object]) -> str:
    earlier = max(0, len(criterion.get("history") or []) - 1)
    return f", changed {earlier} time{'s' if earlier > 1 else ''} since (see the appendix)" if earlier else ""
