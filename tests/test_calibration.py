"""The pipeline's test on itself, with networks that are a formula: noise of a known size around a known curve."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from folklore.calibration import calibrate, pool_runs
from folklore.claims.base import FAMILIES
from folklore.errors import UsageError
from folklore.grid import Cell, Rates, Run
from folklore.judging import read_calibration
from folklore.plan import make_plan
from folklore.report import document, words
from folklore.schema import CONF
from folklore.stages import calibrate as stage
from folklore.stages.calibrate import placebo

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


def test_each_family_has_a_placebo_cell_of_its_own() -> None:
    plan = make_plan(["profile=laptop"])
    found = {family: placebo(plan, family).run for family in OmegaConf.load(CONF / "placebo.yaml")}
    assert set(found) == set(FAMILIES)
    assert len({run.key for run in [placebo(plan).run, *found.values()]}) == len(FAMILIES) + 1
    with pytest.raises(
        UsageError, match=r"--family=colours: no such family in conf/placebo\.yaml; known are activations"
    ):
        placebo(plan, "colours")


def test_a_familys_calibration_is_told_in_the_verdicts_and_the_report(
    tmp_path: Path, data_root: Path
) -> None:
    shutil.copytree(data_root, tmp_path / "data")
    small = ["--out", str(tmp_path), "profile=nano", "profile.placebo_seeds=12", "profile.data=digits"]
    stage.main(small)
    stage.main([*small, "--family", "normalisation"])
    told = read_calibration(tmp_path)
    assert list(told["families"]) == ["normalisation"]
    shown = document._calibrations(told)
    assert shown["groups"][0]["rows"][0][0] == "Normalisation"
    assert document._calibrations({"families": {}}) is None


def test_families_that_are_fooled_too_often_are_named() -> None:
    def family(share: float, low: float) -> dict[str, object]:
        return {
            "false_support": share,
            "false_support_interval": [low, 0.2],
            "power": 1.0,
            "placebo_trials": 100,
        }

    told = words.calibration(
        {"families": {"a": family(0.097, 0.079), "b": family(0.06, 0.048), "c": family(0.071, 0.056)}}
    )
    assert "in a (9.7 %) and c (7.1 %)" in told
    assert "families" not in words.calibration({"families": {"b": family(0.06, 0.048)}})
