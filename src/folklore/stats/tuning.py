"""The choice of a learning rate from a few noisy scores: a fitted curve, not an argmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CLOSE = 1.5  # standard errors of a difference within which a mean counts as no worse than the best
CLIP = 6.0  # standard errors below the best at which a mean stops to count as lower still
WINDOW = 2  # rates on each side of the best that the quadratic is fitted to


@dataclass(frozen=True)
class Choice:
    """index: the chosen rate; edge: "low" or "high" when the optimum sits at that end of the grid, else ""; best: mean score there."""

    index: int
    edge: str
    score: float


def choose(scores: Sequence[Sequence[float]]) -> Choice:
    """Choose among rates in increasing order from the scores of each one's seeds, higher is better, all finite.

    A quadratic in the rate's position (log rate) is fitted to the means around the best one. Of the rates that the noise of the seeds
    does not tell apart from the best (within CLOSE standard errors of a difference), the one nearest to its vertex is chosen. Where the
    curve is flat this is steadier than the plain argmax, which makes identical arms differ; where it ends in a cliff, as it does at the
    largest stable rate, the best mean stands, for no parabola fits a cliff. With a single seed the noise is unknown: the best mean is
    chosen. The optimum is at an edge when the best mean or the choice is.
    """
    means = _means(scores)
    best, last = int(means.argmax()), len(means) - 1
    index = best
    if _replicated(scores) and last >= 2:
        around = np.arange(max(0, best - WINDOW), min(last, best + WINDOW) + 1)
        error = _error(scores, around)
        close = around[means[around] >= means[best] - CLOSE * error]
        index = int(close[np.argmin(np.abs(close - _vertex(around, means, best, error)))])
    edge = {0: "low", last: "high"}.get(index) or {0: "low", last: "high"}.get(best, "")
    return Choice(index, edge if last >= 2 else "", float(means[index]))


def below_cliff(scores: Sequence[Sequence[float]], index: int) -> bool:
    """Whether a seed of the next higher rate has collapsed: it scores nearer to the grid's lowest mean than to the mean at `index`.

    Just below such a rate a few seeds do not see that some runs diverge there, too. False at the top of the grid.
    """
    if index + 1 >= len(scores):
        return False
    means = _means(scores)
    best, lowest = means[index], means.min()
    return bool(best > lowest and min(scores[index + 1]) < (best + lowest) / 2)


def _means(scores: Sequence[Sequence[float]]) -> np.ndarray:
    return np.array([np.mean(seeds) for seeds in scores])


def _replicated(scores: Sequence[Sequence[float]]) -> bool:
    return min(len(seeds) for seeds in scores) > 1


def _error(scores: Sequence[Sequence[float]], around: np.ndarray) -> float:
    """Standard error of the difference of two rates' means: of the spreads around, the middle one, for a collapse has a spread of its own."""
    spread = float(np.median([np.std(scores[i], ddof=1) for i in around]))
    return spread * np.sqrt(2 / min(len(seeds) for seeds in scores))


def _vertex(around: np.ndarray, means: np.ndarray, best: int, error: float) -> float:
    """Position of the fitted maximum; the best mean's where the fit has none. Collapsed rates are clipped: they would bend the fit."""
    shown = np.maximum(means[around], means[best] - CLIP * error)
    a, b, _ = np.polyfit(around, shown, 2)
    return float(np.clip(-b / (2 * a), around[0], around[-1])) if a < 0 else float(best)


def every_second(n: int) -> np.ndarray:
    """Positions of half as many rates, the grid's middle among them."""
    middle = (n - 1) // 2
    return np.array([i for i in range(n) if (i - middle) % 2 == 0])
