"""All that the template prints, as plain strings: text never becomes markup on its way into the PDF."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from folklore.figures import style
from folklore.grid import SIX_FACTOR
from folklore.report import factors
from folklore.report.claim import SHORT_HASH, claim_tables, family_name, is_measured, labels, table, view
from folklore.report.growth import growth
from folklore.report.numbers import MISSING, count, is_number, percent
from folklore.report.pictures import drawn, figure
from folklore.report.sheet import sheet
from folklore.report.versions import versions
from folklore.report.words import Claim, amount, calibration, paragraph, summary, tidy, verdict_name

Verdicts = Mapping[str, object]

TOY_PROFILES = frozenset({"nano", "smoke"})
MARKS = {"supported": "●", "refuted": "✖", "inconclusive": "○", "holds": "✔", "fails": "✘"}
_OVERVIEW = (
    "All measured claims: effects with 95 % intervals, in units of the smallest effect that would matter for each; right of zero"
    " is the way the rule says. An asterisk stands for a fragile verdict. Exact claims are computed and not shown."
)


def document(verdicts: Verdicts, out: Path, folder: Path) -> dict[str, object]:
    """The content of `data.json`. Copies each figure that it names from `out/figures` to `folder`."""
    claims, grid = verdicts["claims"], read_grid(out, verdicts)
    stems = factors.figure_stems(out / "figures") if grid else []
    return {
        "styles": {name: {"colour": hue, "mark": MARKS[name]} for name, hue in style.VERDICT_COLOURS.items()},
        "profile": str(verdicts["profile"]),
        "commit": _short(verdicts.get("commit")),
        "networks": count(verdicts.get("runs")),
        "toy": is_toy(verdicts),
        "banners": banners(verdicts),
        "summary": summary(verdicts),
        "box": _box(verdicts),
        "glance": _glance([claim for claim in claims if is_measured(claim)]),
        "exact": [_glance_row(claim) for claim in claims if not is_measured(claim)],
        "overview": figure(out / "figures" / "overview", folder, _OVERVIEW),
        "claims": [view(claim) | {"figure": _claim_figure(claim, out, folder)} for claim in claims],
        "factors": {
            "lead": factors.lead(grid),
            "figures": [figure(stem, folder) for stem in stems],
            "tables": factors.tables(out / "tables") if grid else [],
        },
        "sheet": sheet(claims, grid),
        "calibration": calibration(verdicts.get("calibration")),
        "calibrations": _calibrations(verdicts.get("calibration") or {}),
        "growth": growth(out),
        "data": _data(verdicts),
        "versions": versions(claims),
        "provenance": _provenance(claims, grid, stems),
    }


def is_toy(verdicts: Verdicts) -> bool:
    """Whether the profile says of itself that its runs are too few and too small to be evidence."""
    return bool(verdicts.get("toy", verdicts["profile"] in TOY_PROFILES))


def banners(verdicts: Verdicts) -> list[str]:
    """Warnings that a reader must see before the first number."""
    toy = f"Toy size. Profile “{verdicts['profile']}” tries the machinery; its verdicts are not evidence."
    return [toy] if is_toy(verdicts) else []


def checked(claim: Claim) -> str:
    """`3 of 4 checks hold`; a dash for a claim without exact checks."""
    checks = claim.get("checks") or []
    held = sum(bool(check.get("holds")) for check in checks)
    return f"{held} of {len(checks)} checks {'holds' if held == 1 else 'hold'}" if checks else MISSING


def read_grid(out: Path, verdicts: Verdicts) -> dict[str, object]:
    """The six-factor analysis of this run; empty when it has none: an earlier run with another profile or choice may have left one."""
    path, only = out / "grid.json", verdicts.get("only") or [SIX_FACTOR]
    grid = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return grid if SIX_FACTOR in only and grid.get("profile") == verdicts["profile"] else {}


def figure_stems(verdicts: Verdicts, out: Path) -> list[Path]:
    """Every figure of this document, without suffix: the overview, those of its claims, those of its grid."""
    figures = out / "figures"
    named = [Path(str(claim["figure"])).stem for claim in verdicts["claims"] if claim.get("figure")]
    grid = factors.figure_stems(figures) if read_grid(out, verdicts) else []
    return [
        stem for stem in (*(figures / name for name in ("overview", *named)), *grid) if drawn(stem).is_file()
    ]


def tables(verdicts: Verdicts, out: Path) -> list[Path]:
    """Every table of this document as CSV: the verdicts', those of its claims, those of its grid."""
    named = ["verdicts", *(name for claim in verdicts["claims"] for name, _ in claim_tables(claim))]
    grid = sorted((out / "tables").glob("grid-*.csv")) if read_grid(out, verdicts) else []
    files = [*(out / "tables" / f"{name}.csv" for name in named), *grid]
    return [file for file in files if file.is_file()]


def _claim_figure(claim: Claim, out: Path, folder: Path) -> dict[str, object] | None:
    if not claim.get("figure"):
        return None
    stem = (out / "figures" / Path(str(claim["figure"])).name).with_suffix("")
    return figure(stem, folder)


def _short(value: object) -> str:
    return str(value or MISSING)[:SHORT_HASH]


def _box(verdicts: Verdicts) -> list[list[str]]:
    data = ", ".join(sorted(verdicts.get("data") or {}))
    changed = " (with uncommitted changes)" if verdicts.get("dirty") else ""
    return [
        ["profile", str(verdicts["profile"])],
        ["networks trained", _trained(verdicts)],
        ["core-hours", _core_hours(verdicts)],
        ["commit", _short(verdicts.get("commit")) + changed],
        ["data", f"{data}; digests in the appendix" if data else MISSING],
        ["machine", _machine(verdicts.get("machine") or {})],
    ]


def _trained(verdicts: Verdicts) -> str:
    diverged = sum(claim["diverged"] for claim in verdicts["claims"] if is_number(claim.get("diverged")))
    lost = f"; of those that decided a claim, {count(diverged)} diverged, which counts as a result"
    return count(verdicts.get("runs")) + (lost if diverged else "")


def _core_hours(verdicts: Verdicts) -> str:
    seconds = verdicts.get("core_seconds")
    return f"{seconds / 3600:.2g} of training, by the cost model" if is_number(seconds) else MISSING


def _machine(machine: Mapping[str, object]) -> str:
    cores = machine.get("cores")
    parts = [
        paragraph(machine.get("cpu")),
        f"{cores} core{'s' if cores != 1 else ''}" if cores else "",
        f"torch {machine['torch']}" if machine.get("torch") else "",
        f"Python {machine['python']}" if machine.get("python") else "",
    ]
    return ", ".join(filter(None, parts)) or MISSING


def _glance(claims: Sequence[Claim]) -> list[dict[str, object]]:
    """The front page's table of measured claims, by family in order of first appearance."""
    order = {name: rank for rank, name in enumerate(dict.fromkeys(family_name(claim) for claim in claims))}
    ranked = sorted(claims, key=lambda claim: order[family_name(claim)])
    return [
        {"family": family, "rows": [_glance_row(claim) for claim in group]}
        for family, group in groupby(ranked, key=family_name)
    ]


def _glance_row(claim: Claim) -> dict[str, object]:
    return {
        "id": claim["id"],
        "title": tidy(claim["title"]),
        "verdict": claim["verdict"],
        "name": verdict_name(claim),
        "labels": labels(claim),
        "effect": amount(claim) or checked(claim),
        "n": count(claim.get("n")) if claim.get("n") else MISSING,
    }


def _calibrations(report: Mapping[str, object]) -> dict[str, object] | None:
    """What the pipeline finds in placebo claims of each family, where `make calibrate` has been run."""
    rows = [
        [
            family_name({"family": family}),
            percent(one["false_support"]),
            " to ".join(map(percent, one["false_support_interval"])),
            percent(one["power"]),
            count(one["placebo_trials"]),
        ]
        for family, one in sorted((report.get("families") or {}).items())
    ]
    columns = ["family", "false support", "95 % interval", "planted effects found", "trials of each"]
    caption = (
        "The same for a net such as the claims of each family train; the interval counts trials and seeds."
    )
    return table(caption, columns, rows, numeric=[1, 2, 3, 4]) if rows else None


def _data(verdicts: Verdicts) -> dict[str, object]:
    rows = [[name, str(digest)] for name, digest in sorted((verdicts.get("data") or {}).items())]
    return table("The data sets of this report.", ["name", "sha256 of the decoded bytes"], rows, numeric=[])


def _provenance(
    claims: Sequence[Claim], grid: Mapping[str, object], stems: Sequence[Path]
) -> list[dict[str, str]]:
    """From each figure to its runs: how many, the digest of their keys, the filter for MLflow."""
    return [_trace(str(claim["id"]), claim) for claim in claims if claim.get("runs")] + [
        _trace(stem.name, grid) for stem in stems
    ]


def _trace(name: str, source: Mapping[str, object]) -> dict[str, str]:
    return {
        "name": name,
        "runs": count(source.get("runs")),
        "digest": str(source.get("run_keys_sha256") or MISSING)[:16],
        "query": str(source.get("run_query") or ""),
    }
