"""Stopping early, replayed: the levels of looks against published ones, and what would have been left out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from folklore import cost, savings
from folklore.errors import UsageError
from folklore.grid import CONFIRM, TUNE, Cell, Rates, Run
from folklore.savings import Staged, decided, looks_of
from folklore.stages import savings as stage
from folklore.stats.estimates import estimate
from folklore.stats.findings import Finding
from folklore.stats.sequential import error_rate, nominal_levels, spent
from folklore.stats.verdicts import Verdict

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
    found = [stats.norm.isf(level / 2) for level in nominal_levels(0.05, looks)]
    assert found == pytest.approx(bounds, abs=2e-4)


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


def test_looks_double() -> None:
    assert looks_of(32) == [16, 32]
    assert looks_of(64) == [16, 32, 64]
    assert looks_of(384) == [16, 32, 64, 128, 256, 384]
    assert looks_of(12) == [12]


def of(differences: np.ndarray, **more: object) -> Finding:
    found = estimate(differences, sensitivity=False)
    return Finding(found, found.p, **more)


def test_a_look_decides_only_what_its_level_allows() -> None:
    noise = np.tile([-0.01, 0.01], 8)  # standard error .0026
    delta = 0.01
    assert decided(of(noise + 0.05), delta, 1e-6) == Verdict("supported")
    assert decided(of(noise - 0.05), delta, 1e-6) == Verdict("refuted", "reversed")
    assert decided(of(noise + 0.008), delta, 0.04) == Verdict("supported")  # reaches beyond delta
    assert decided(of(noise + 0.008), delta, 1e-6) is None  # the level is spent sparingly
    assert decided(of(noise), delta, 1e-6) is None  # nothing there is said at the last look only
    assert decided(of(noise + 0.05, equivalence=True), delta, 1e-6) is None
    assert decided(of(noise + 0.05, undecidable="all diverged"), delta, 1e-6) is None


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


def test_a_study_stops_with_the_last_of_its_claims() -> None:
    entries = [(CELL, "tune", 0, Run(lr=0.1, seed=TUNE))]
    entries += [(CELL, "confirm", i, Run(lr=0.1, seed=CONFIRM + i)) for i in range(64)]
    frames = SimpleNamespace(listed={"tried": entries, "another": entries[-1:]})
    found = [Staged(name, "tried", "supported", "supported", 64, n) for name, n in (("a", 16), ("b", 32))]
    # 1 + 32, and the last replicate, which a study that nobody looks at early needs, too
    assert len(savings.runs_needed(frames, found)) == 34


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
