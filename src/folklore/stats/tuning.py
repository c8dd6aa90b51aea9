"""The choice of a learning rate from a few noisy scores: a fitted curve, not an argmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW = 2  # rates on each side of the best that the quadratic is fitted to


@dataclass(frozen=True)
class Choice:
    """index: the chosen rate; edge: "low" or "high" when the optimum sits at that end of the grid, else ""; best: mean score there."""

    index: int
    edge: str
    score: float


def choose(scores: np.ndarray) -> Choice:
    """Choose among rates in increasing order from scores (rates, seeds), higher is better, all finite.

    A quadratic in the rate's position (log rate) is fitted to the means around the best one; its vertex, rounded to the grid, is the
    choice. With few noisy seeds the plain argmax makes identical arms differ far more often. The optimum is at an edge when the best
    mean or the vertex is.
    """
    means = scores.mean(axis=1)
    last = len(means) - 1
    if last < 2:
        index = int(means.argmax())
        return Choice(index, "", float(means[index]))
    best = int(means.argmax())
    around = np.arange(max(0, best - WINDOW), min(last, best + WINDOW) + 1)
    index = best if len(around) < 4 and 0 < best < last else _vertex(around, means[around], best)
    edge = {0: "low", last: "high"}.get(index) or {0: "low", last: "high"}.get(best, "")
    return Choice(index, edge, float(means[index]))


def _vertex(positions: np.ndarray, means: np.ndarray, best: int) -> int:
    """Grid position of the fitted maximum; the best mean where the fit has none inside the window."""
    # a collapse beyond the stable rates would bend the curve more than the optimum does: clip it to the window's spread
    floor = (
        np.sort(means)[-3] - 2 * (np.sort(means)[-1] - np.sort(means)[-3]) - 0.05 * abs(np.sort(means)[-1])
    )
    a, b, _ = np.polyfit(positions, np.maximum(means, floor), 2)
    if a >= 0:
        return best
    return int(np.clip(round(-b / (2 * a)), positions[0], positions[-1]))


def every_second(n: int) -> np.ndarray:
    """Positions of half as many rates, the grid's middle among them."""
    middle = (n - 1) // 2
    return np.array([i for i in range(n) if (i - middle) % 2 == 0])
