"""Sentences computed from the verdicts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from folklore.report.numbers import (
    MINUS,
    count,
    decimals_for,
    effect_text,
    interval_text,
    is_number,
    number,
    percent,
    superscript,
)

Claim = Mapping[str, object]
FALSE_SUPPORT = 0.05  # of placebo claims, at most
NAMED = 3  # rules that the front page names for each of two extremes

NOT_CALIBRATED = (
    "This report was made without a calibration, so its rate of false alarms is not measured here. The "
    "command “make calibrate” runs it: identical arms under different names, and effects planted on "
    "purpose, through the same tuning, the same runs and the same verdicts."
)
_SMALL = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def spelled(value: int) -> str:
    """Small counts as words, the rest as digits."""
    return _SMALL[value] if 0 <= value < len(_SMALL) else count(value)


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def plural(value: int, one: str, many: str) -> str:
    """`one` or `many` after a count."""
    return one if value == 1 else many


def paragraph(text: object) -> str:
    """Text of a source file as one line: line breaks mean nothing, control characters have no glyph."""
    flat = " ".join(str(text or "").split())
    return "".join(letter for letter in flat if letter.isprintable())


def tidy(text: object) -> str:
    """A paragraph set as elsewhere: minus signs, powers, roots, multiplication signs, a zero before the point; and `quoted`."""
    flat = paragraph(text).replace("+-", "±")
    flat = re.sub(r"(?<![\w.\])])\.(?=\d)", "0.", flat)
    flat = re.sub(r"([\d.]*\d)e([+-]?\d+)\b", _power, flat)
    flat = re.sub(r"(?<=[\w)\]])\^(-?(?:\d+|[a-pr-z]|T))(?!\w)", lambda found: superscript(found[1]), flat)
    flat = re.sub(r"\bsqrt(?:\((\w+)\)| (\w)\b)", r"√\1\2", flat)
    flat = re.sub(r"\bsqrt\(", "√(", flat)
    flat = _HYPHENS_FOR_MINUS.sub(MINUS, flat)
    return re.sub(r"(?<=[\w)]) x (?=\d)", " × ", quoted(flat))


# before a number; between two terms; before a function, and before a letter in brackets
_HYPHENS_FOR_MINUS = re.compile(
    r"(?<![\w.)\]-])-(?=\d)|(?<=[\w)⁰¹²³⁴-⁹₀-₉] )-(?= [\w(])|(?<=[(= ])-(?=[a-z]\w*\()|(?<=\()-(?=[a-z]\))"
)


def quoted(text: str) -> str:
    """With a printer's apostrophes, quotation marks and dashes in the place of a typewriter's; a single mark is an apostrophe."""
    text = text.replace("'", "’").replace(" - ", " – ")
    return re.sub(r'(?<![\w.,;!?)’])"(?=\S)', "“", text).replace('"', "”")


def _power(found: re.Match[str]) -> str:
    times = "" if found[1] == "1" else f"{found[1]}×"
    return f"{times}10{superscript(int(found[2]))}"


def amount(claim: Claim) -> str:
    """The effect with its unit and interval: `+1.2 points [0.4, 2.0]`; empty when there is none."""
    if not is_number(claim.get("effect")):
        return ""
    scale, interval = claim.get("scale") or 1, claim.get("interval")
    effect = " ".join(filter(None, [effect_text(claim["effect"], interval, scale), tidy(claim.get("unit"))]))
    decimals = decimals_for(interval, scale, claim["effect"])
    return f"{effect} {interval_text(interval, scale, decimals)}"


def verdict_name(claim: Claim) -> str:
    """The verdict in full: `refuted, negligible`."""
    return ", ".join(filter(None, [str(claim["verdict"]), claim.get("refuted_how") or claim.get("how")]))


def summary(verdicts: Mapping[str, object]) -> str:
    """The front page's answer in five sentences: how many rules, how they fared, what held most, what came out the other way."""
    claims = verdicts["claims"]
    sentences = [
        _opening(claims),
        _measured(
            [claim for claim in claims if claim["verdict"] in ("supported", "refuted", "inconclusive")]
        ),
        _held(claims),
        _furthest("What held most clearly", [claim for claim in claims if claim["verdict"] == "supported"]),
        _furthest(
            "What came out the other way round, most clearly",
            [claim for claim in claims if claim.get("refuted_how") == "reversed"],
        ),
    ]
    return " ".join(filter(None, sentences))


def calibration(report: Mapping[str, object] | None) -> str:
    """What the pipeline says about differences that were planted, or that are not there."""
    if not report:
        return NOT_CALIBRATED
    trials, false = count(report.get("placebo_trials")), percent(report.get("false_support"))
    planted, effect = count(report.get("planted_trials")), number(report.get("planted_effect"))
    return (
        f"The pipeline was tried on itself. In {trials} placebo trials, two identical arms under different "
        f"names went through the same choice of a rate and the same verdict: {false} of them came out as supported "
        f"(at most 5 % are allowed{_pooled(report)}){_reversed(report)}. In {planted} trials an effect of {effect} was planted: "
        f"{percent(report.get('power'))} of them were found."
        f"{_too_often_fooled(report.get('families') or {})}"
    )


def _reversed(report: Mapping[str, object]) -> str:
    share = report.get("false_reversal")
    return "" if share is None else f", and {percent(share)} as reversed"


def _pooled(report: Mapping[str, object]) -> str:
    """The interval of the share, and what it counts."""
    limits = report.get("false_support_interval")
    if not limits:
        return ""
    between = " to ".join(map(percent, limits))
    seeds = count(report.get("seeds"))
    return f"; 95 % interval {between}, which counts that all trials draw on the same {seeds} seeds"


def _too_often_fooled(families: Mapping[str, Mapping[str, object]]) -> str:
    """The families in which more placebo claims were supported than 5 %, and than chance, of trials and of the pool, explains."""
    worse = {name: one for name, one in families.items() if one["false_support_interval"][0] > FALSE_SUPPORT}
    if not worse:
        return ""
    named = joined([f"{name} ({percent(one['false_support'])})" for name, one in sorted(worse.items())])
    return (
        f" With nets such as the families’ own it is more than that in {named}: there a supported rule whose interval "
        "begins near zero deserves some doubt."
    )


def _opening(claims: Sequence[Claim]) -> str:
    exact = sum(map(_is_exact, claims))
    tested = len(claims) - exact
    rules = f"{spelled(len(claims)).capitalize()} {plural(len(claims), 'rule', 'rules')} from the lectures"
    verb = plural(len(claims), "was", "were")
    ways = [f"{spelled(tested)} by experiment"] * bool(tested) + [
        f"{spelled(exact)} by exact computation"
    ] * bool(exact)
    return f"{rules} {verb} put to the test: {joined(ways)}." if claims else "No rule was put to the test."


def _measured(claims: Sequence[Claim]) -> str:
    verbs = {"supported": ("is", "are"), "refuted": ("is", "are"), "inconclusive": ("remains", "remain")}
    names = Counter(claim["verdict"] for claim in claims)
    ways = {"refuted": _how(claims)}
    parts = [
        f"{spelled(names[name])} {plural(names[name], *verbs[name])} {name}{ways.get(name, '')}"
        for name in verbs
        if names[name]
    ]
    return f"Of the rules tried by experiment, {joined(parts)}{_fragile(claims)}." if parts else ""


def _how(claims: Iterable[Claim]) -> str:
    ways = Counter(claim.get("refuted_how") for claim in claims if claim["verdict"] == "refuted")
    told = {
        "negligible": "too small to matter",
        "reversed": "the other way round",
        "different": "a difference where none was to be",
        "formula": "with a formula that fails",
    }
    parts = [f"{spelled(ways[way])} {text}" for way, text in told.items() if ways[way]]
    return f" ({', '.join(parts)})" if parts else ""


def _is_exact(claim: Claim) -> bool:
    """Computed, not trained."""
    return claim["verdict"] in ("holds", "fails") and claim.get("kind") != "Q"


def _held(claims: Sequence[Claim]) -> str:
    """`Of the exact statements, two hold and one fails as printed; of the orders stated beforehand, one holds.`"""
    kinds = [
        ("exact statements", [claim for claim in claims if _is_exact(claim)], " as printed"),
        ("orders stated beforehand", [claim for claim in claims if claim.get("kind") == "Q"], ""),
    ]
    told = "; ".join(_holding(what, chosen, how) for what, chosen, how in kinds if chosen)
    return f"{told[0].upper()}{told[1:]}." if told else ""


def _holding(what: str, claims: Sequence[Claim], how: str) -> str:
    names = Counter(claim["verdict"] for claim in claims)
    verbs = {"holds": ("holds", "hold"), "fails": ("fails", "fail")}
    parts = [f"{spelled(names[name])} {plural(names[name], *verbs[name])}" for name in verbs if names[name]]
    return f"of the {what}, {joined(parts)}{how}"


def _furthest(opening: str, claims: Sequence[Claim]) -> str:
    """Those of these claims whose effects are largest, measured against the smallest that would matter."""
    sized = sorted((c for c in claims if _in_deltas(c) is not None), key=_in_deltas, reverse=True)
    named = [f"“{tidy(claim['title'])}” ({amount(claim)})" for claim in sized[:NAMED]]
    return f"{opening}: {joined(named)}." if named else ""


def _in_deltas(claim: Claim) -> float | None:
    effect, delta = claim.get("effect"), claim.get("delta")
    return abs(effect) / delta if is_number(effect) and is_number(delta) and delta > 0 else None


def _fragile(claims: Sequence[Claim]) -> str:
    fragile = sum(bool(claim.get("fragile")) for claim in claims)
    if not fragile:
        return ""
    subject = f"{spelled(fragile)} of these verdicts {plural(fragile, 'is', 'are')} fragile"
    return f"; {subject}, for a robustness check contradicts {plural(fragile, 'it', 'them')}"
