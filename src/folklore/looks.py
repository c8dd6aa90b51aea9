"""Looks: a study of many replicates is judged after the first of them, and ends there if that answers all of its claims.

The number of replicates is planned for the smallest effect of interest. A rule that is worth thirty points shows it long before, and to
train the rest would decide nothing. A claim is answered when its p-value is below the level of the look, and the interval at that level lies
beyond the smallest effect of interest, so that the other replicates could not turn it into a negligible one either. That there is no
effect is said with all replicates only. The looks share the level of the strictest step of the family's correction
(`folklore.stats.sequential`); what the first one has spent is charged at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

from folklore.claim_calls import finding_of
from folklore.claims.base import LoadedClaim
from folklore.criteria import family_size
from folklore.frames import Frames
from folklore.plan import Plan
from folklore.stats.findings import Finding
from folklore.stats.sequential import nominal_levels
from folklore.stats.verdicts import ALPHA
from folklore.studies import claims_of


@dataclass(frozen=True)
class Look:
    """At a study after `first` of `planned` replicates; ended: it was the end of it."""

    first: int
    planned: int
    ended: bool

    def charge(self, claim: LoadedClaim) -> float:
        """What a p-value is multiplied by, so that it is below the claim's level where it is below that of its look."""
        first, last = self.levels(claim)
        return ALPHA / family_size(claim) / (first if self.ended else last)

    def levels(self, claim: LoadedClaim) -> Sequence[float]:
        """What a p-value of the claim must be below at the look, and at the end."""
        return _levels(ALPHA / family_size(claim), self.first, self.planned)


def look_at(frames: Frames, study: str) -> Look | None:
    """The look that a study has; None without any."""
    main = next((c for c in frames.plan.cells if (c.study, c.variant) == (study, "main")), None)
    return Look(main.look, main.replicates, study in frames.ended) if main and main.look else None


def charged(finding: Finding, claim: LoadedClaim, look: Look | None) -> Finding:
    """The finding with what the looks have spent, and a note where one was the end."""
    if look is None:
        return finding
    notes = (*finding.notes, _said(look)) if look.ended else finding.notes
    return replace(finding, charge=look.charge(claim), notes=notes)


def _said(look: Look) -> str:
    return (
        f"A look after {look.first} of {look.planned} planned replicates answered this study, so the others were not "
        "trained; the corrected p-value is charged for the looks."
    )


def ends(plan: Plan, out: Path, study: str) -> bool:
    """Whether the look at this study, which has one, answers all of its claims."""
    frames = Frames(plan, out, {study}, ended={study})
    look, runs = look_at(frames, study), frames.study(study)
    return all(
        decided(finding_of(claim, runs), claim.criterion.delta, look.levels(claim)[0])
        for claim in claims_of(study)
    )


def decided(finding: Finding, delta: float, level: float) -> bool:
    """Whether there is a difference at this level, and one beyond delta: supported, reversed, or different where none is predicted."""
    found = finding.estimate
    if found is None or finding.undecidable:
        return False
    half = stats.t.isf(level / 2, found.n - 1) * found.sd / np.sqrt(found.n)
    beyond = found.effect - half >= delta or found.effect + half <= -delta
    p = found.p if finding.equivalence else finding.p
    return bool(p < level and beyond and finding.verdict(delta, 0.0).verdict != "inconclusive")


@cache
def _levels(level: float, first: int, planned: int) -> Sequence[float]:
    return tuple(nominal_levels(level, (first, planned)))
