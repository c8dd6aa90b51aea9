"""Stopping early: the levels of looks against published ones, and what was, or would have been, left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from folklore import cost, savings
from folklore.errors import UsageError
from folklore.grid import Cell, Rates, Run
from folklore.stages import savings as stage
from folklore.stats.sequential import error_rate, nominal_levels, spent

CELL = Cell("tried", "main", "arm", Run(updates=400), Rates(), 0.1, 3, 32, 0, "val_accuracy", None)


@pytest.mark.parametrize(
    ("looks", "bounds"),
    [
        # the two-sided O'Brien-Fleming-like boundaries at .05 of Lan & DeMets, as textbooks and software print them
        ([10, 20], [2.9626, 1.9686]),
        ([10, 20, 30], [3.7103, 2.5114, 1.9930]),
        ([16, 32, 48, 64], [4.3326, 2.9631, 2.3590, 2.0141]),
        ([20, 40, 60, 80, 100], [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_levels_of_looks_are_the_published_ones(looks: list[int], bounds: list[float]) -> None:
    def like_obrien_fleming(alpha: float, fraction: float) -> float:
        return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(fraction)))

    found = [stats.norm.isf(level / 2) for level in nominal_levels(0.05, looks, like_obrien_fleming)]
    assert found == pytest.approx(bounds, abs=2e-4)


def test_the_cube_of_the_fraction_is_spent() -> None:
    assert spent(0.05, 0.5) == pytest.approx(0.05 / 8)
    first, last = nominal_levels(0.05, [32, 64])
    assert first == pytest.approx(0.05 / 8)
    # of a bivariate normal, what passes the first look and not the second, is the rest
    edges = stats.norm.isf(first / 2), stats.norm.isf(last / 2)
    half = np.sqrt(0.5)
    inside = stats.multivariate_normal(cov=[[1, half], [half, 1]])
    corners = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    kept = sum(a * b * inside.cdf([a * edges[0], b * edges[1]]) for a, b in corners)
    assert 1 - kept == pytest.approx(0.05, abs=1e-5)


def test_one_look_spends_everything() -> None:
    assert nominal_levels(0.05, [32]) == pytest.approx([0.05])
    assert spent(0.01, 1.0) == pytest.approx(0.01)


@pytest.mark.parametrize("looks", [[], [32, 16], [16, 16], [1, 2]])
def test_looks_that_do_not_increase_are_refused(looks: list[int]) -> None:
    with pytest.raises(ValueError, match="allowed are increasing"):
        nominal_levels(0.05, looks)


def test_the_error_is_kept_where_naive_looks_double_it() -> None:
    looks, trials = (16, 32, 64), 40_000
    margin = 4 * (0.05 * 0.95 / trials) ** 0.5
    assert error_rate(nominal_levels(0.05, looks), looks, trials, seed=1) == pytest.approx(0.05, abs=margin)
    assert error_rate([0.05] * 3, looks, trials, seed=1) > 0.1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["profile=nano"], r"tune/000\.json: no runs of this profile yet; make them by: snakemake --cores all --config profile=nano"),
        (["profile=nano", "profile.only=[bn-backward]"], r"profile\.only=\[bn-backward\]: these claims train nothing; allowed"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_replay_it_is_one_line(
    overrides: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        stage.main(["--out", str(tmp_path), *overrides])
    assert not (tmp_path / "savings.json").exists()


def test_what_looks_saved_are_the_runs_that_no_study_has_trained() -> None:
    cell = replace(CELL, run=replace(CELL.run, lr=0.1), replicates=64, look=32)
    runs = cell.confirming_runs(0.1, range(64))
    trained = pd.DataFrame(index=[run.key for run in runs[:34]])  # two of the later ones serve another study
    plan = SimpleNamespace(cells=[cell])
    for ended, saved in ((["tried"], 30), ([], 0)):
        results = trained if ended else pd.DataFrame(index=[run.key for run in runs])
        frames = SimpleNamespace(
            plan=plan, listed={"tried": [], "another": []}, chosen={}, results=results, ended=ended
        )
        (found,) = savings.looked(frames)
        assert (found.study, found.first, found.planned, found.ended) == ("tried", 32, 64, bool(ended))
        assert found.saved == pytest.approx(saved * cost.seconds(runs[0]))
        assert found.seconds == pytest.approx(64 * cost.seconds(runs[0]))


def test_rates_that_are_behind_are_dropped_and_the_choice_is_made_among_the_rest() -> None:
    rates, early, late = (0.05, 0.1, 0.2, 0.4), (0.3, 0.6, 0.5, 0.1), (0.60, 0.70, 0.80, 0.1)
    rows = {}
    for rate, first, last in zip(rates, early, late, strict=True):
        for run in CELL.tuning_runs(rate, range(3)):
            rows[run.key] = {"updates": 400, "val_step": [40, 120, 400], "val_curve": [0.0, first, last]}
    outcome = {
        "rates": {f"{rate:.6g}": [s - 0.001, s, s + 0.001] for rate, s in zip(rates, late, strict=True)}
    }
    frames = SimpleNamespace(
        listed={"tried": [(CELL, "tune", 0, None)]},
        chosen={CELL.key: outcome},
        results=pd.DataFrame.from_dict(rows, orient="index"),
    )
    (found,) = savings.halved(frames)
    assert found.moved == pytest.approx(0.0, abs=1e-9)  # .2 is among the better half, and stays the best
    assert found.seconds == pytest.approx(12 * cost.seconds(CELL.tuning_runs(0.1, range(1))[0]))
    assert found.saved == pytest.approx((1 - savings.HALVED_AT) * found.seconds / 2)
    early_winner = {**outcome["rates"], "0.4": [0.9, 0.9, 0.9]}
    frames.chosen[CELL.key] = {"rates": early_winner}
    (found,) = savings.halved(frames)
    assert found.moved == pytest.approx(
        1.0
    )  # the rate that would have been chosen was dropped: an octave away
