"""What two ways to stop early would have saved, replayed on runs that are there: replicates in stages, and halving the rates.

In stages: a claim is looked at after 16, 32, ... replicates, at the level of the strictest step of its family's correction, spent over the looks
(`folklore.stats.sequential`). Supported or reversed may be said at any look, negligible and equivalent only at the last one, where the corrected
p-value has to be smaller by what the earlier looks have spent. A study stops when all of its claims have.

Halving: after part of their updates the better half of a cell's rates, by mean validation accuracy, goes on, and the choice is made among
these. The same rule for every arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from folklore import cost
from folklore.claim_calls import finding_of
from folklore.claims.base import LoadedClaim
from folklore.frames import Frames
from folklore.grid import Cell, Run
from folklore.judging import corrected_p, family_size
from folklore.stats.findings import Finding
from folklore.stats.sequential import nominal_levels
from folklore.stats.tuning import choose
from folklore.stats.verdicts import ALPHA, Verdict

FIRST_LOOK = 16  # replicates
HALVED_AT = 0.3  # of the updates
ALIKE = 0.25  # octaves: two rates nearer than this are taken for the same, as the choice takes them


@dataclass(frozen=True)
class Staged:
    """A claim in stages: the verdict of all replicates, that of the look at which it would have stopped, and how many each took."""

    claim: str
    study: str
    whole: str
    early: str
    replicates: int
    stopped: int


@dataclass(frozen=True)
class Halved:
    """A cell whose rates are halved: how far the choice moves (octaves), expected core-seconds of its tuning and of what is dropped."""

    study: str
    arm: str
    moved: float
    seconds: float
    saved: float


def looks_of(replicates: int) -> list[int]:
    """After 16, 32, 64, ... replicates, and after all."""
    looks = [FIRST_LOOK]
    while looks[-1] < replicates:
        looks.append(2 * looks[-1])
    return [*(look for look in looks if look < replicates), replicates]


def staged(claims: Sequence[LoadedClaim], frames: Frames) -> list[Staged]:
    """Every statistical claim; one whose study has no more replicates than the first look stops there."""
    runs = {claim.id: frames.study(claim.study) for claim in claims if claim.study}
    findings = {claim.id: finding_of(claim, runs.get(claim.id)) for claim in claims}
    corrected = corrected_p(claims, findings)
    found = []
    for claim in claims:
        finding, frame = findings[claim.id], runs.get(claim.id)
        if finding.estimate is None or frame is None:
            continue
        replicates = 1 + int(frame.loc[_confirmed(frame), "replicate"].max())
        delta, p = claim.criterion.delta, corrected.get(claim.id)
        level, looks = ALPHA / family_size(claim), looks_of(replicates)
        levels = nominal_levels(level, looks)
        whole = finding.verdict(delta, p)
        last = finding.verdict(delta, None if p is None else p * level / levels[-1])
        stopped, early = _first_decision(claim, frame, looks, levels) or (replicates, last)
        found.append(Staged(claim.id, str(claim.study), _said(whole), _said(early), replicates, stopped))
    return found


def _first_decision(
    claim: LoadedClaim, runs: pd.DataFrame, looks: Sequence[int], levels: Sequence[float]
) -> tuple[int, Verdict] | None:
    """The look before the last at which the claim is decided, and how."""
    for look, level in zip(looks[:-1], levels, strict=False):
        seen = runs[(runs["phase"] == "tune") | (runs["replicate"] < look)]
        verdict = decided(finding_of(claim, seen), claim.criterion.delta, level)
        if verdict:
            return look, verdict
    return None


def decided(finding: Finding, delta: float, level: float) -> Verdict | None:
    """Supported or reversed at a look with this level: p is below it, and the interval at 1 - level is not inside (-delta, delta)."""
    found = finding.estimate
    if found is None or finding.p is None or finding.equivalence or finding.undecidable or finding.p >= level:
        return None
    half = stats.t.isf(level / 2, found.n - 1) * found.sd / np.sqrt(found.n)
    low, high = found.effect - half, found.effect + half
    if low > 0 and high >= delta:
        return finding.verdict(delta, 0.0) if finding.checks else Verdict("supported")
    return Verdict("refuted", "reversed") if high < 0 and low <= -delta else None


def runs_needed(frames: Frames, found: Iterable[Staged]) -> dict[str, Run]:
    """Runs that are left when every study stops with the last of its claims: all of a study that no staged claim asks about."""
    stops: dict[str, int] = {}
    for one in found:
        stops[one.study] = max(one.stopped, stops.get(one.study, 0))
    return {
        run.key: run
        for study, entries in frames.listed.items()
        for _, phase, replicate, run in entries
        if phase == "tune" or replicate < stops.get(study, replicate + 1)
    }


def halved(frames: Frames) -> list[Halved]:
    """Every cell that is tuned by validation accuracy over at least four rates."""
    cells = {cell.key: cell for rows in frames.listed.values() for cell, phase, *_ in rows if phase == "tune"}
    found = (_halved(cell, frames.chosen[cell.key], frames.results) for cell in cells.values())
    return [one for one in found if one]


def _halved(cell: Cell, outcome: Mapping[str, Any], results: pd.DataFrame) -> Halved | None:
    rates = sorted(map(float, outcome["rates"]))
    if cell.tune_on != "val_accuracy" or len(rates) < 4:
        return None
    scores = {float(rate): seeds for rate, seeds in outcome["rates"].items()}
    runs = {rate: cell.tuning_runs(rate, range(cell.tuning_seeds)) for rate in rates}
    early = {rate: np.mean([_at(results.loc[run.key]) for run in runs[rate]]) for rate in rates}
    kept = sorted(sorted(rates, key=lambda rate: -early[rate])[: -(-len(rates) // 2)])
    position = choose([scores[rate][: cell.tuning_seeds] for rate in kept]).position
    whole = choose([scores[rate][: cell.tuning_seeds] for rate in rates]).position
    chosen, before = (
        np.interp(at, range(len(x)), np.log2(x)) for at, x in ((position, kept), (whole, rates))
    )
    each = {rate: sum(map(cost.seconds, runs[rate])) for rate in rates}
    dropped = (1 - HALVED_AT) * sum(each[rate] for rate in rates if rate not in kept)
    return Halved(cell.study, cell.label, abs(float(chosen - before)), sum(each.values()), dropped)


def _at(result: pd.Series) -> float:
    """Validation accuracy at the first look after part of the updates; a diverged run scores nothing."""
    after = np.asarray(result["val_step"]) >= HALVED_AT * result["updates"]
    value = float(np.asarray(result["val_curve"])[after][0])
    return value if np.isfinite(value) else 0.0


def _confirmed(runs: pd.DataFrame) -> pd.Series:
    return (runs["phase"] == "confirm") & (runs["variant"] == "main")


def _said(verdict: Verdict) -> str:
    return f"{verdict.verdict}, {verdict.how}" if verdict.how else verdict.verdict
