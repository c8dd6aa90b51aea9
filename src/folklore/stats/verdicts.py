"""From an estimate to a verdict, by the protocol's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from statsmodels.stats.multitest import multipletests

from folklore.stats.estimates import Interval

ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """verdict: supported, refuted or inconclusive, holds or fails; how: "negligible", "reversed", "different" or "formula" where refuted."""

    verdict: str
    how: str = ""


def decide(interval: Interval, interval90: Interval, delta: float, p: float) -> Verdict:
    """The verdict on a claim that predicts a positive effect.

    Refuted, negligible: the 90 % interval lies inside (-delta, delta), whatever its sign; this comes first, for an effect shown to be
    below the smallest one of interest supports nothing. Supported: the 95 % interval is above 0 and not inside, and the corrected p is
    under .05. Refuted, reversed: the same below 0. Else inconclusive.
    """
    if _inside(interval90, delta):
        return Verdict("refuted", "negligible")
    if p < ALPHA and not _inside(interval, delta):
        if interval[0] > 0:
            return Verdict("supported")
        if interval[1] < 0:
            return Verdict("refuted", "reversed")
    return Verdict("inconclusive")


def decide_equivalence(
    interval: Interval, interval90: Interval, delta: float, p: float, p_apart: float = 0.0
) -> Verdict:
    """The verdict on a claim that predicts no difference: the roles are swapped.

    `p` is that of the two one-sided tests, `p_apart` that of a difference (by default what the interval says of it is enough). Supported: the 90 %
    interval lies inside (-delta, delta) and p, corrected, is under .05; not so inside nothing is said. Refuted: the 95 % interval excludes 0
    and is not inside, and p_apart, corrected, is under .05.
    """
    if _inside(interval90, delta):
        return Verdict("supported" if p < ALPHA else "inconclusive")
    if p_apart < ALPHA and not _inside(interval, delta) and (interval[0] > 0 or interval[1] < 0):
        return Verdict("refuted", "different")
    return Verdict("inconclusive")


def holm(p_values: Mapping[str, float], family: Sequence[str]) -> dict[str, float]:
    """Holm-corrected p-values over a frozen family. Members that were not judged count as p = 1, so that the size never changes."""
    outside = set(p_values) - set(family)
    if outside:
        raise ValueError(f"not in the frozen family: {', '.join(sorted(outside))}")
    ordered = [p_values.get(member, 1.0) for member in family]
    corrected = multipletests(ordered, method="holm")[1]
    return {m: float(p) for m, p in zip(family, corrected, strict=True) if m in p_values}


def _inside(interval: Interval, delta: float) -> bool:
    return -delta < interval[0] and interval[1] < delta
