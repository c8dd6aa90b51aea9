"""The pipeline tested on itself: placebo claims (identical arms under different names) and planted effects.

One cell is trained over the usual seven rates with many seeds. A trial draws disjoint seeds for two arms, tunes each as any arm is tuned,
confirms it on fresh seeds of its own, and judges the contrast as any claim is judged. Every number in a trial is that of a trained
network; a planted effect is added to the test scores of one arm. What is measured is the whole path from tuning to verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from folklore.grid import CONFIRM, PLACEBO, Cell, Run
from folklore.stats.estimates import estimate
from folklore.stats.tuning import choose
from folklore.stats.verdicts import decide

TUNING_SEEDS = 3
DELTA = 0.01
PLANTED = 2 * DELTA


@dataclass(frozen=True)
class Pool:
    """Scores of one cell by rate and seed: validation and test accuracy, each (rates, seeds)."""

    validation: np.ndarray
    test: np.ndarray


def pool_runs(cell: Cell, seeds: int) -> list[Run]:
    """Runs of the pool, rate-major."""
    return [
        replace(cell.run, lr=lr, seed=CONFIRM + PLACEBO + i, score_test=True)
        for lr in cell.rates.around(cell.center)
        for i in range(seeds)
    ]


def pool_of(cell: Cell, seeds: int, results: Sequence[dict]) -> Pool:
    """The pool from results in the order of `pool_runs`."""
    shape = (cell.rates.count, seeds)
    return Pool(
        *(np.array([r[name] for r in results]).reshape(shape) for name in ("val_accuracy", "test_accuracy"))
    )


def trials(pool: Pool, effect: float, count: int, rng: np.random.Generator) -> list[str]:
    """Verdicts of `count` trials with a true effect (raw accuracy) planted in the first arm."""
    return [_trial(pool, effect, rng) for _ in range(count)]


def summarise(pool: Pool, count: int, seed: int) -> dict:
    """Share of false support with its exact 95 % interval, and the power for a planted effect of 2 delta."""
    rng = np.random.default_rng(seed)
    placebo, planted, opposed = (trials(pool, effect, count, rng) for effect in (0.0, PLANTED, -PLANTED))
    false, found = placebo.count("supported"), planted.count("supported")
    low, high = binomtest(false, count).proportion_ci(method="exact")
    return {
        "placebo_trials": count,
        "false_support": false / count,
        "false_support_interval": [float(low), float(high)],
        "placebo_negligible": placebo.count("refuted") / count,
        "planted_trials": count,
        "planted_effect": PLANTED,
        "power": found / count,
        "opposed_support": opposed.count("supported") / count,
        "delta": DELTA,
        "replicates": _replicates(pool),
        "seeds": int(pool.test.shape[1]),
    }


def _trial(pool: Pool, effect: float, rng: np.random.Generator) -> str:
    seeds, n = rng.permutation(pool.test.shape[1]), _replicates(pool)
    tuning, fresh = seeds[: 2 * TUNING_SEEDS], seeds[2 * TUNING_SEEDS :]
    scores = []
    for arm in range(2):
        chosen = choose(pool.validation[:, tuning[arm * TUNING_SEEDS : (arm + 1) * TUNING_SEEDS]]).index
        scores.append(pool.test[chosen, fresh[arm * n : (arm + 1) * n]])
    found = estimate(scores[0] + effect - scores[1], sensitivity=False)
    return decide(found.interval, found.interval90, DELTA, found.p).verdict


def _replicates(pool: Pool) -> int:
    return min(32, (pool.test.shape[1] - 2 * TUNING_SEEDS) // 2)
