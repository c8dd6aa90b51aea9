"""The pipeline's test on itself, with networks that are a formula: noise of a known size around a known curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from folklore.calibration import calibrate, pool_runs
from folklore.grid import Cell, Rates, Run

SEEDS = 96


def cell() -> Cell:
    return Cell("placebo", "main", "placebo", Run(), Rates(), 0.1, 3, 4, 2, "val_accuracy", None)


def train(runs: Sequence[Run]) -> dict[str, dict]:
    """Accuracy .7 at the centre, a point lower at half and twice the rate; a spread of two points; test and validation independent."""

    def scores(run: Run) -> dict[str, float]:
        rng = np.random.default_rng([run.seed, int(1e6 * run.lr)])
        val, test = 0.7 - 0.01 * np.log2(run.lr / 0.1) ** 2 + 0.02 * rng.standard_normal(2)
        return {"val_accuracy": val, "test_accuracy": test}

    return {run.key: scores(run) for run in runs}


def test_false_support_is_rare_and_planted_effects_are_found() -> None:
    summary, keys = calibrate(cell(), SEEDS, 400, 1, train)
    low, high = summary["false_support_interval"]
    assert low <= summary["false_support"] <= high
    assert low < 0.05  # not above the goal beyond chance
    assert summary["power"] > 0.9
    assert summary["opposed_support"] == 0
    assert summary["replicates"] == 32
    assert len(keys) == len(set(keys)) >= 7 * SEEDS


def test_the_pool_holds_rates_between_those_of_the_grid() -> None:
    assert [pool_runs(cell(), p, 1)[0].lr for p in (0, 3, 3.5)] == pytest.approx(
        [0.0125, 0.1, 0.1 * 2**0.5], rel=1e-5
    )
    assert len({run.seed for run in pool_runs(cell(), 3, SEEDS)}) == SEEDS
