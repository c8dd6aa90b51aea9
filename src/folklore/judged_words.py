"""What a claim's page says of its study and its outcome, in sentences that are made of the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from folklore import datasets
from folklore.claims.base import LoadedClaim
from folklore.grid import Study
from folklore.stats.findings import Check, Finding
from folklore.stats.verdicts import Verdict


def trained(study: Study | None, runs: pd.DataFrame | None) -> str:
    """What was trained, in words made from the runs, and from the design of each ground."""
    if study is None or runs is None:
        return "Nothing is trained: the formula itself is checked in double precision."
    designs = dict(study.versions())
    parts = [
        f"{_task(group[group['phase'] == 'confirm'])}, {_ground(designs.get(variant, study), group)}"
        for variant, group in runs.groupby("variant", sort=False)
    ]
    return "; as a check: ".join(parts) + f". {runs['run_key'].nunique():,} networks in all."


def _ground(design: Study, runs: pd.DataFrame) -> str:
    """Updates, arms and replicates, and over how many rates those arms were tuned that have no fixed or borrowed rate."""
    confirmed, tuned = runs[runs["phase"] == "confirm"], runs[runs["phase"] == "tune"]
    arms, replicates = confirmed["arm"].nunique(), confirmed.groupby("arm").size().max()
    words = f"{_range(confirmed['updates'])} updates; {arms} arm{'s' * (arms != 1)}"
    if len(tuned):
        own, tried = tuned["arm"].nunique(), int(tuned.groupby("arm")["lr"].nunique().max())
        seeds = f"{design.tuning_seeds} seed{'s' * (design.tuning_seeds != 1)}"
        moved = f" (up to {tried} where the grid moved)" if tried > design.rates.count else ""
        whose = "" if own == arms else f"{own} of them "
        words += f", {whose}tuned over {design.rates.count} rates{moved} x {seeds}"
    return f"{words}; {replicates} fresh replicates{' of each' * (arms != 1)}"


def _task(runs: pd.DataFrame) -> str:
    """Nets on a data set; or functions to minimise, where a procedure puts them into the place of both."""
    procedures = _others(runs["procedure"], "once")
    some = "some " if (runs["procedure"] == "once").any() else ""
    if procedures and all(name.endswith("quadratics") for name in procedures):
        return "random quadratic functions"
    views, data = _others(runs["view"], "plain"), "/".join(map(datasets.title, sorted(set(runs["data"]))))
    seen = f" ({', '.join(views)})" if views else ""
    how = f", {some}trained by {'/'.join(procedures)}" if procedures else ""
    return f"{_net(runs)} on {data}{seen}, {_range(runs['n_train'])} training rows{how}"


def _others(levels: pd.Series, usual: str) -> list[str]:
    """The levels in words, without the usual one."""
    return [level.replace("_", " ") for level in dict.fromkeys(levels) if level != usual]


def _net(runs: pd.DataFrame) -> str:
    depths = "/".join(str(d) for d in sorted(set(runs["depth"])))
    widths = "/".join(str(w) for w in sorted(set(runs["width"])))
    kinds = "/".join(
        "MLP" if model == "mlp" else model.replace("_", " ") for model in dict.fromkeys(runs["model"])
    )
    return f"{kinds} of {depths} x {widths}, {'/'.join(dict.fromkeys(runs['activation']))}, {'/'.join(dict.fromkeys(runs['optimizer']))}"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def summary(claim: LoadedClaim, finding: Finding, verdict: Verdict, p: float | None) -> str:
    """The outcome in one sentence, every number from the finding."""
    if claim.claim.kind == "Q":
        return _order(finding, verdict)
    if finding.estimate is None:
        return _exactly(finding, verdict)
    if finding.undecidable:
        return f"Undecided: {finding.undecidable[0].lower()}{finding.undecidable[1:]}"
    e, c = finding.estimate, claim.criterion
    effect, low, high = (v * c.scale for v in (e.effect, *e.interval))
    shown = f"{effect:+.2f} {c.unit} (95 % interval {low:+.2f} to {high:+.2f}, n = {e.n}"
    of_what = " of equivalence" if finding.equivalence else ""
    shown += f", corrected p{of_what} = {p:.2g})" if p is not None else ")"
    goal = f"smallest effect of interest {c.delta * c.scale:.2g}"
    words = {
        "supported": "The effect is",
        "inconclusive": "Undecided: the effect is",
        "refuted": {
            "negligible": "Negligible: the effect is",
            "reversed": "The opposite holds: the effect is",
        }.get(verdict.how, "Refuted: the effect is"),
    }
    if finding.equivalence and verdict.verdict == "supported":
        words["supported"] = "No difference of interest: it is"
    return f"{words[verdict.verdict]} {shown}; {goal}."


def _exactly(finding: Finding, verdict: Verdict) -> str:
    """How many checks hold, or fail as printed, and how well those do that hold."""
    if verdict.verdict == "holds":
        return f"All {len(finding.checks)} checks hold; the largest error is {_worst(finding.checks)}."
    said = [c for c in finding.checks if c.form == "printed"] or finding.checks
    failed = sum(not c.holds for c in said)
    if not failed:
        return f"What is printed holds; a corrected form fails, with an error of {_worst(finding.checks)}."
    wrong = f"{failed} of {len(said)} formulas {'fails' if failed == 1 else 'fail'} as printed"
    right = [c for c in finding.checks if c.form == "right"]
    rest = right or [c for c in finding.checks if c.holds]
    named = "the corrected form holds" if right else "the others hold"
    return f"{wrong}; {named} with an error of at most {_worst(rest)}."


def _worst(checks: Sequence[Check]) -> str:
    return f"{max((c.error for c in checks), default=math.nan):.1e}"


def _order(finding: Finding, verdict: Verdict) -> str:
    """The outcome of a claim about an order, whose checks count the seeds that break it."""
    worst = max(finding.checks, key=lambda check: check.error, default=None)
    if worst is None:
        return "No seed is complete, so no order can be counted."
    allowed = f"{worst.error:g} {'seed' if worst.error == 1 else 'seeds'} ({worst.tolerance:g} allowed)"
    if verdict.verdict == "holds":
        return (
            f"All {len(finding.checks)} parts of the order are there; none is broken by more than {allowed}."
        )
    failed = sum(not check.holds for check in finding.checks)
    return f"{failed} of {len(finding.checks)} parts of the order fail; worst, “{worst.name}”, is broken by {allowed}."
