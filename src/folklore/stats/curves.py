"""Steps to a target, read from a run's loss curve."""

from __future__ import annotations

import numpy as np


def steps_to(target: float, steps: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Updates until the windowed losses (n, T) at `steps` (T,) are first at or below the target, interpolated in the window (n,); inf for
    those that never are.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    runs, first = np.arange(len(losses)), (losses <= target).argmax(axis=1)
    before = np.maximum(first - 1, 0)
    above, below = losses[runs, before], losses[runs, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        between = steps[before] + (above - target) / (above - below) * (steps[first] - steps[before])
    reached = np.where((first == 0) | ~np.isfinite(above), steps[first], between)
    return np.where(below <= target, reached, np.inf)


def speed_score(target: float, steps: np.ndarray, losses: np.ndarray) -> float:
    """A tuning score, higher is faster: minus log2 of the steps to the target; below all of those that reach it, minus the final loss."""
    (reached,) = steps_to(target, steps, losses[None])
    if np.isfinite(reached):
        return -float(np.log2(max(reached, 1.0)))
    last = losses[-1] if np.isfinite(losses[-1]) else 10.0 + abs(target)
    return -float(np.log2(steps[-1])) - min(max(float(last) - target, 0.0), 10.0)
