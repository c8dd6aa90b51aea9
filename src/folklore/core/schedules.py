"""Learning-rate schedules, one function a level: (update t, updates in all) -> factor of the base rate.

Adding a level is adding a public function here.
"""

from __future__ import annotations


def constant(t: int, updates: int) -> float:
    return 1.0


def step(t: int, updates: int) -> float:
    """A tenth at half and a hundredth at three quarters of the budget (Masters & Luschi 2018)."""
    return 1.0 if t <= 0.5 * updates else 0.1 if t <= 0.75 * updates else 0.01


def exponential(t: int, updates: int) -> float:
    """From 1 to 1/100 over the budget."""
    return 0.01 ** (t / updates)


def inverse_time(t: int, updates: int) -> float:
    """1/t decay, 1 / (1 + k t) with k such that it ends at a tenth (cs231n; after Robbins & Monro 1951)."""
    return 1 / (1 + 9 * t / updates)


def range_test(t: int, updates: int) -> float:
    """From nearly 1/100,000 up to 1, by equal factors: a test of rates, not a schedule to train with (Smith 2017, there in equal steps)."""
    return 1e-5 ** (1 - t / updates)
