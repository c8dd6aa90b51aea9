"""Steps to a target, read from a run's loss curve."""

from __future__ import annotations

import numpy as np


def steps_to(target: float, steps: np.ndarray, losses: np.ndarray) -> float:
    """Updates until the windowed loss is first at or below the target, interpolated in the window; inf when it never is."""
    losses = np.where(np.isfinite(losses), losses, np.inf)
    hit = np.flatnonzero(losses <= target)
    if not len(hit):
        return float("inf")
    i = int(hit[0])
    if i == 0 or not np.isfinite(losses[i - 1]):
        return float(steps[i])
    share = (losses[i - 1] - target) / (losses[i - 1] - losses[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def speed_score(target: float, steps: np.ndarray, losses: np.ndarray) -> float:
    """A tuning score, higher is faster: minus log2 of the steps to the target; below all of those that reach it, minus the final loss."""
    reached = steps_to(target, steps, losses)
    if np.isfinite(reached):
        return -float(np.log2(max(reached, 1.0)))
    last = losses[-1] if np.isfinite(losses[-1]) else 10.0 + abs(target)
    return -float(np.log2(steps[-1])) - min(max(float(last) - target, 0.0), 10.0)
