"""The pipeline tested on itself: placebo claims (identical arms under different names) and planted effects.

One cell is trained over the usual seven rates with many seeds: the pool. A trial draws disjoint seeds for two arms, chooses the rate of each
as any arm's is chosen, confirms it on fresh seeds of its own, and judges the contrast as any claim is judged, before p-values are corrected for
many. Every number in a trial is that of a trained network; a planted effect is added to the test scores of one arm. What is measured is the way
from scores to verdict, without what tuning does about the ends of a grid: it is not moved, and no rate below a cliff is measured again.

All trials draw from one pool (70 of its 96 seeds each), so that what they find holds for this pool, and another one would find somewhat
more or less: the interval counts both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest, norm

from folklore.grid import CONFIRM, PLACEBO, Cell, Run
from folklore.stats.estimates import estimate
from folklore.stats.tuning import choose
from folklore.stats.verdicts import Verdict, decide

SUPPORTED = Verdict("supported")
REVERSED, NEGLIGIBLE = Verdict("refuted", "reversed"), Verdict("refuted", "negligible")
TUNING_SEEDS = 3
Z95 = norm.ppf(0.975)
DELTA = 0.01
PLANTED = 2 * DELTA
# Standard deviation of the false support between pools of 96 seeds, beyond that of their trials. 100 pools of 1,000 trials each on a bowl, by
# `shares` of tests/test_calibration.py, gave 3.9 % on average with a deviation of 1.52 points, of which the trials make .61. (60 pools of 400
# trials: .8 points with 24 seeds, whose arms have 9 replicates, and .7 with 384, which the trials share less.)
POOL_SPREAD = 0.014

Train = Callable[[Sequence[Run]], dict[str, dict]]


@dataclass(frozen=True)
class Trial:
    """Where in the grid each arm is confirmed, and on which seeds of the pool, (2, n)."""

    positions: tuple[float, float]
    seeds: np.ndarray


def calibrate(cell: Cell, seeds: int, count: int, seed: int, train: Train) -> tuple[dict, list[str]]:
    """Share of false support with its 95 % interval, and the power for a planted effect of 2 delta; keys of the runs behind them."""
    rng = np.random.default_rng(seed)
    tuning = pool(cell, range(cell.rates.count), seeds, train, "val_accuracy")
    validation = np.stack([tuning[p] for p in range(cell.rates.count)])
    drawn = [draw(validation, rng) for _ in range(3 * count)]
    test = pool(cell, sorted({p for trial in drawn for p in trial.positions}), seeds, train, "test_accuracy")
    effects = [0.0] * count + [PLANTED] * count + [-PLANTED] * count
    verdicts = [verdict(trial, test, effect) for trial, effect in zip(drawn, effects, strict=True)]
    placebo, planted, opposed = (verdicts[i * count : (i + 1) * count] for i in range(3))
    false = placebo.count(SUPPORTED)
    summary = {
        "placebo_trials": count,
        "false_support": false / count,
        "false_support_interval": list(interval(false, count)),
        "false_reversal": placebo.count(REVERSED) / count,
        "placebo_negligible": placebo.count(NEGLIGIBLE) / count,
        "planted_trials": count,
        "planted_effect": PLANTED,
        "power": planted.count(SUPPORTED) / count,
        "opposed_support": opposed.count(SUPPORTED) / count,
        "delta": DELTA,
        "replicates": replicates(seeds),
        "seeds": seeds,
    }
    positions = sorted({*tuning, *test})
    return summary, [run.key for p in positions for run in pool_runs(cell, p, seeds)]


def interval(false: int, count: int) -> tuple[float, float]:
    """95 % interval of the share over all pools: the trials' exact one, widened by the normal spread between pools, within 0 .. 1."""
    share, reach = false / count, Z95 * POOL_SPREAD
    low, high = binomtest(false, count).proportion_ci(method="exact")
    below, above = np.hypot(share - low, reach), np.hypot(high - share, reach)
    return float(max(0.0, share - below)), float(min(1.0, share + above))


def pool_runs(cell: Cell, position: float, seeds: int) -> list[Run]:
    """Runs at a position of the grid, counted from its lowest rate."""
    lr = cell.rates.at(cell.center, position - (cell.rates.count - 1) // 2)
    first = CONFIRM + PLACEBO
    return [replace(cell.run, lr=lr, seed=first + i, score_test=True) for i in range(seeds)]


def pool(
    cell: Cell, positions: Sequence[float], seeds: int, train: Train, score: str
) -> dict[float, np.ndarray]:
    """Scores (seeds,) at each position."""
    runs = {p: pool_runs(cell, p, seeds) for p in positions}
    results = train([run for group in runs.values() for run in group])
    return {p: np.array([results[run.key][score] for run in group]) for p, group in runs.items()}


def draw(validation: np.ndarray, rng: np.random.Generator) -> Trial:
    """Seeds for two arms, and the rate that each chooses, from validation scores (rates, seeds)."""
    shuffled, n = rng.permutation(validation.shape[1]), replicates(validation.shape[1])
    tuning = shuffled[: 2 * TUNING_SEEDS].reshape(2, TUNING_SEEDS)
    fresh = shuffled[2 * TUNING_SEEDS :][: 2 * n].reshape(2, n)
    first, second = (choose(validation[:, own]).position for own in tuning)
    return Trial((first, second), fresh)


def verdict(trial: Trial, test: dict[float, np.ndarray], effect: float) -> Verdict:
    """The verdict of a trial with a true effect (raw accuracy) planted in its first arm."""
    first, second = (test[p][own] for p, own in zip(trial.positions, trial.seeds, strict=True))
    found = estimate(first + effect - second, sensitivity=False)
    return decide(found.interval, found.interval90, DELTA, found.p)


def replicates(seeds: int) -> int:
    """Fresh seeds of each arm."""
    return min(32, (seeds - 2 * TUNING_SEEDS) // 2)
