"""The pipeline's test on itself, with networks that are a formula: noise of a known size around a known curve."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.stats import binomtest

from folklore.calibration import POOL_SPREAD, SUPPORTED, calibrate, draw, interval, pool_runs, verdict
from folklore.claims.base import FAMILIES
from folklore.errors import UsageError
from folklore.grid import Cell, Rates, Run
from folklore.judging import read_calibration
from folklore.plan import make_plan
from folklore.report import document, words
from folklore.schema import CONF
from folklore.stages import calibrate as stage
from folklore.studies import placebo

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
    assert summary["false_support"] < 0.08  # the goal is 5 %; pools of 3.9 % on average reach 9 %
    assert summary["false_support_interval"] == list(interval(round(400 * summary["false_support"]), 400))
    assert summary["power"] > 0.9
    assert summary["opposed_support"] == 0
    assert summary["replicates"] == 32
    assert len(keys) == len(set(keys)) >= 7 * SEEDS


def shares(pools: int, count: int) -> list[int]:
    """False support among the trials of each pool."""
    found, positions = [], [p / 4 for p in range(25)]
    for number in range(pools):
        rng = np.random.default_rng([number, SEEDS])
        val, test = (
            np.array([0.7 - 0.01 * (p - 3) ** 2 + 0.02 * rng.standard_normal(SEEDS) for p in places])
            for places in (range(7), positions)
        )
        scores = dict(zip(positions, test, strict=True))
        found.append([verdict(draw(val, rng), scores, 0.0) for _ in range(count)].count(SUPPORTED))
    return found


def test_the_interval_covers_the_share_over_pools_where_the_trials_own_does_not() -> None:
    """The mean of 100 such pools is 3.9 %. The same trials in another pool would come out otherwise by 1.5 points."""
    found, count = shares(10, 500), 500
    own = [binomtest(false, count).proportion_ci(method="exact") for false in found]
    covered = [low <= 0.039 <= high for low, high in (interval(false, count) for false in found)]
    assert sum(covered) >= 9
    assert sum(low <= 0.039 <= high for low, high in own) <= 8


@pytest.mark.parametrize(("false", "count"), [(0, 40), (40, 40), (1, 1000)])
def test_the_interval_is_one_of_shares(false: int, count: int) -> None:
    low, high = interval(false, count)
    assert 0 <= low <= false / count <= high <= 1
    assert high - low > 2 * 0.95 * POOL_SPREAD


def test_the_pool_holds_rates_between_those_of_the_grid() -> None:
    assert [pool_runs(cell(), p, 1)[0].lr for p in (0, 3, 3.5)] == pytest.approx(
        [0.0125, 0.1, 0.1 * 2**0.5], rel=1e-5
    )
    assert len({run.seed for run in pool_runs(cell(), 3, SEEDS)}) == SEEDS


def test_each_family_has_a_placebo_cell_of_its_own() -> None:
    plan = make_plan(["profile=laptop"])
    found = {family: placebo(plan.config, family).run for family in OmegaConf.load(CONF / "placebo.yaml")}
    assert set(found) == set(FAMILIES)
    assert len({run.key for run in [placebo(plan.config).run, *found.values()]}) == len(FAMILIES) + 1
    with pytest.raises(
        UsageError, match=r"--family=colours: no such family in conf/placebo\.yaml; known are activations"
    ):
        placebo(plan.config, "colours")


def test_a_familys_calibration_is_told_in_the_verdicts_and_the_report(
    tmp_path: Path, data_root: Path
) -> None:
    shutil.copytree(data_root, tmp_path / "data")
    small = ["--out", str(tmp_path), "profile=nano", "profile.placebo_seeds=12", "profile.data=digits"]
    stage.main(small)
    stage.main([*small, "--family", "normalisation"])
    told = read_calibration(tmp_path, "nano")
    assert list(told["families"]) == ["normalisation"]
    shown = document._calibrations(told)
    assert shown["groups"][0]["rows"][0][0] == "Normalisation"
    assert document._calibrations({"families": {}}) is None
    assert "draw on the same 12 seeds" in words.calibration(told)
    assert read_calibration(tmp_path, "laptop") is None


def test_a_familys_calibration_of_another_profile_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "calibration").mkdir()
    for name, profile in (("calibration", "laptop"), ("calibration/a", "smoke"), ("calibration/b", "laptop")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"profile": profile, "summary": {"power": 1.0}}))
    (tmp_path / "calibration" / "old.json").write_text(json.dumps({"summary": {"power": 1.0}}))
    assert read_calibration(tmp_path, "laptop") == {"power": 1.0, "families": {"b": {"power": 1.0}}}


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
