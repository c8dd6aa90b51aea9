"""Looks at a comparison before all of its replicates are there, at an error rate that is kept over all looks together.

The error is spent as Lan & DeMets 1983 (Biometrika 70, 659-663) propose, by the cube of the fraction of the replicates that are there (Kim &
DeMets 1987, Biometrika 74, 149-154): little at a first look, nearly all at the last one. It is close to O'Brien & Fleming's boundary, but asks
of a sixth of the replicates for a p-value of .005 alpha, not of 1e-14, which no Student's t of some thirty replicates bears out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from scipy.optimize import brentq

NODES = 400  # of the integral over what a statistic may have been at the look before
Spending = Callable[[float, float], float]


def spent(alpha: float, fraction: float) -> float:
    """Of a two-sided level alpha, what may be spent up to this fraction (0, 1] of the replicates, half of it on each side."""
    return alpha * fraction**3


def nominal_levels(alpha: float, looks: Sequence[int], spending: Spending = spent) -> list[float]:
    """What a two-sided p-value must be below at each look, for the number of replicates then, the last of them all.

    Between two looks the sum of the differences goes on by independent normal steps; what the look before let through is integrated
    numerically (Armitage, McPherson & Rowe 1969). ValueError unless the looks increase.
    """
    if list(looks) != sorted(set(looks)) or not looks or looks[0] < 2:
        raise ValueError(f"looks {list(looks)}: allowed are increasing numbers of replicates, from 2")
    levels: list[float] = []
    at, weights = np.zeros(1), np.ones(1)  # where the sum may stand, and with what probability
    before, used = 0.0, 0.0
    for fraction in (look / looks[-1] for look in looks):
        step, budget = np.sqrt(fraction - before), spending(alpha, fraction) - used
        edge = brentq(_excess, 0.0, 40.0, args=(at, weights, step, budget), xtol=1e-12)
        levels.append(float(2 * stats.norm.sf(edge / np.sqrt(fraction))))
        nodes, shares = np.polynomial.legendre.leggauss(NODES)
        following = edge * nodes
        passed = stats.norm.pdf((following[:, None] - at) / step) / step @ weights
        at, weights = following, passed * shares * edge
        before, used = fraction, used + budget
    return levels


def _excess(edge: float, at: np.ndarray, weights: np.ndarray, step: float, budget: float) -> float:
    """By how much the probability that the sum gets beyond +-edge in one step is over the budget."""
    beyond = stats.norm.sf((edge - at) / step) + stats.norm.cdf((-edge - at) / step)
    return float(weights @ beyond) - budget


def error_rate(levels: Sequence[float], looks: Sequence[int], trials: int, seed: int) -> float:
    """How often paired differences without any effect, normal ones, are called different at one of the looks, each tested by Student's t."""
    drawn = np.random.default_rng(seed).standard_normal((trials, looks[-1]))
    called = np.zeros(trials, dtype=bool)
    for level, n in zip(levels, looks, strict=True):
        called |= stats.ttest_1samp(drawn[:, :n], 0, axis=1).pvalue < level
    return float(called.mean())
