"""The D-optimal fraction: its mathematics on small cases, and what the committed one promises."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from folklore.errors import UsageError
from folklore.stages import design as stage
from folklore.stats import design
from hostile import refused

ROOT = Path(__file__).parents[1]
SMALL = {"a": ["x", "y", "z"], "b": [1, 2, 3], "c": [0, 1], "n": [0.0, 0.5], "m": ["p", "q", "r"]}
GRAPH = ("a", "b", "c")


@pytest.fixture(scope="module")
def factors() -> dict[str, list]:
    return stage.read_factors(ROOT / "conf" / "factors.yaml")


@pytest.fixture(scope="module")
def cells(factors) -> list[dict]:
    return stage.read_cells(ROOT / "conf" / "study" / "six_factor.csv", factors)


@pytest.fixture(scope="module")
def small() -> list[dict]:
    return design.optimise(SMALL, GRAPH, 15, 3, seed=1)


def crossing(factors) -> list[dict]:
    return [dict(zip(factors, levels, strict=True)) for levels in product(*factors.values())]


def graphs(cells, names=stage.GRAPH_FACTORS) -> set[tuple]:
    return {tuple(cell[f] for f in names) for cell in cells}


# ---------------------------------------------------------------------------------------------- model matrix


def test_model_matrix_of_two_by_two_is_the_one_on_paper():
    x = design.model_matrix(crossing({"a": [0, 1], "b": [0, 1]}), {"a": [0, 1], "b": [0, 1]})
    assert x.tolist() == [[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]


def test_effects_sum_to_zero_over_the_complete_crossing():
    x = design.model_matrix(crossing(SMALL), SMALL)
    assert np.abs(x[:, 1:].sum(axis=0)).max() == 0


def test_complete_crossing_has_efficiency_one_and_the_known_inflation():
    diagnosis = design.diagnose(crossing(SMALL), SMALL)
    assert (
        diagnosis["rank"]
        == diagnosis["parameters"]
        == 1 + (2 + 2 + 1 + 1 + 2) + (4 + 2 + 2 + 4 + 2 + 2 + 4 + 1 + 2 + 2)
    )
    assert diagnosis["d_efficiency"] == pytest.approx(1)
    assert diagnosis["max_vif"] == pytest.approx(4 * (2 / 3) * (2 / 3))
    assert diagnosis["imbalance"] == 0


def test_too_few_cells_are_diagnosed_not_hidden():
    diagnosis = design.diagnose(crossing(SMALL)[:20], SMALL)
    assert diagnosis["rank"] < diagnosis["parameters"]
    assert diagnosis["max_vif"] == math.inf and diagnosis["log_det"] == -math.inf
    assert diagnosis["d_efficiency"] == 0


def test_unknown_level_is_named():
    with pytest.raises(ValueError, match="nonsense"):
        design.model_matrix([{**crossing(SMALL)[0], "a": "nonsense"}], SMALL)


# ---------------------------------------------------------------------------------------------- exchange


def test_updates_of_the_inverse_and_gains_equal_fresh_determinants():
    candidates = design._Candidates.build(SMALL, GRAPH)
    search = design._Exchange(candidates, np.ones((18, 6), dtype=bool), np.zeros((0, 34)), 0.1)
    search.start(14, 3, np.random.default_rng(0))
    before = search.refresh()
    free = np.setdiff1d(search.usable, search.graph_B)
    old = candidates.x_GKp[search.graph_B[0], search.numeric_Bk[0]]
    new = candidates.x_GKp[free[:, None], search.numeric_Bk[0]]
    gains = search.swap_gains(old, new)
    search.update(old, new[1])
    updated, search.graph_B[0] = search.inverse.copy(), free[1]
    assert search.refresh() - before == pytest.approx(math.log(gains[1]))
    np.testing.assert_allclose(updated, search.inverse, atol=1e-9)


def test_no_single_exchange_improves_the_result(small):
    everything, best = crossing(SMALL), design.diagnose(small, SMALL)["log_det"]
    for i, cell in enumerate(small):
        mates = [c for c in everything if all(c[f] == cell[f] for f in GRAPH) and c not in small]
        for other in mates:
            changed = [*small[:i], other, *small[i + 1 :]]
            assert design.diagnose(changed, SMALL)["log_det"] < best + 1e-3


def test_it_beats_random_fractions_of_the_same_shape(small):
    candidates = design._Candidates.build(SMALL, GRAPH)
    rng, best = np.random.default_rng(3), design.diagnose(small, SMALL)["log_det"]
    for _ in range(50):
        chosen = rng.choice(18, 15, replace=False)
        cells = [candidates.cell(g, k) for g in chosen for k in rng.choice(6, 3, replace=False)]
        assert design.diagnose(cells, SMALL)["log_det"] < best


def test_it_is_deterministic_and_keeps_its_shape(small):
    assert small == design.optimise(SMALL, GRAPH, 15, 3, seed=1)
    assert len(small) == 45 and len(graphs(small, GRAPH)) == 15
    assert len({tuple(cell.values()) for cell in small}) == 45


def test_more_graph_cells_than_exist_are_refused():
    with pytest.raises(ValueError, match="19 graph cells wanted, 18"):
        design.optimise(SMALL, GRAPH, 19, 2, seed=0)


# -------------------------------------------------------------------------------------- the committed design


def test_the_factors_are_those_of_the_study(factors):
    assert {name: len(levels) for name, levels in factors.items()} == {
        "init": 10,
        "activation": 7,
        "norm": 2,
        "dropout": 3,
        "batch_size": 5,
        "optimizer": 6,
    }


def test_the_committed_design_estimates_everything_and_is_balanced(cells, factors):
    diagnosis = design.diagnose(cells, factors)
    print(stage.table(diagnosis))
    assert len(cells) == len({tuple(cell.values()) for cell in cells}) == 420
    assert len(graphs(cells)) == 140
    assert diagnosis["rank"] == diagnosis["parameters"] == 311
    assert diagnosis["imbalance"] <= stage.BALANCE
    assert diagnosis["max_vif"] < 20 and diagnosis["d_efficiency"] > 0.7


def test_the_committed_design_is_sorted_and_canonical(cells, factors, tmp_path):
    assert cells == design.sort_cells(cells, factors, stage.GRAPH_FACTORS)
    stage.write_cells(tmp_path / "copy.csv", cells)
    assert (tmp_path / "copy.csv").read_bytes() == (ROOT / "conf/study/six_factor.csv").read_bytes()


@pytest.mark.parametrize(
    ("factor", "level", "new_graphs"),
    [
        ("activation", "gelu", True),
        ("optimizer", "lion", True),
        ("init", "lecun_normal", False),
        ("dropout", 0.8, False),
    ],
)
def test_a_new_level_keeps_the_old_cells_and_is_estimable(cells, factors, factor, level, new_graphs):
    more = {**factors, factor: [*factors[factor], level]}
    grown = design.optimise(more, stage.GRAPH_FACTORS, 140, 3, seed=0, fixed=cells)
    added = [cell for cell in grown if cell not in cells]
    assert len(added) == len(grown) - len(cells)
    assert {cell[factor] for cell in added} == {level}
    assert len(graphs(grown)) - 140 == (len(added) // 3 if new_graphs else 0)
    diagnosis = design.diagnose(grown, more)
    assert diagnosis["rank"] == diagnosis["parameters"] > 311
    assert diagnosis["imbalance"] <= stage.BALANCE
    assert diagnosis["max_vif"] < 25


def test_two_new_levels_at_once_are_estimable(small):
    more = {**SMALL, "a": [*SMALL["a"], "w"], "m": [*SMALL["m"], "s"]}
    grown = design.optimise(more, GRAPH, 15, 3, seed=0, fixed=small)
    diagnosis = design.diagnose(grown, more)
    assert all(cell in grown for cell in small)
    assert diagnosis["rank"] == diagnosis["parameters"]


def test_a_larger_fraction_keeps_the_old_cells(small):
    grown = design.optimise(SMALL, GRAPH, 18, 3, seed=0, fixed=small)
    assert len(grown) == 54 and all(cell in grown for cell in small)


# ------------------------------------------------------------------------------------------- small fractions


@pytest.mark.parametrize(("n", "levels"), [(2, 12), (8, 26), (10, 33), (12, 33)])
def test_a_few_cells_touch_many_levels(cells, n, levels):
    few = design.subset(cells, n)
    touched = {item for cell in few for item in cell.items()}
    assert len(few) == n and few == design.subset(cells, n)
    assert len(touched) >= min(levels, 33) - 2
    assert [cells.index(cell) for cell in few] == sorted(cells.index(cell) for cell in few)


def test_a_subset_larger_than_the_design_is_the_design(small):
    assert design.subset(small, 1000) == small


# ---------------------------------------------------------------------------------------------- stage


@pytest.fixture
def workspace(tmp_path, small):
    text = "\n".join(f"{name}: [{', '.join(map(str, levels))}]" for name, levels in NAMED.items())
    (tmp_path / "factors.yaml").write_text(text)
    return tmp_path


NAMED = {
    "init": ["constant", "he", "glorot"],
    "activation": ["relu", "tanh", "elu"],
    "norm": ["none", "batch"],
    "batch_size": [2, 8],
    "optimizer": ["sgd", "adam", "rmsprop"],
}


def run_stage(folder, *more) -> None:
    paths = ["--factors", str(folder / "factors.yaml"), "--cells", str(folder / "cells.csv")]
    stage.main([*paths, "--starts", "1", *more])


def test_stage_writes_once_and_then_keeps(workspace, capsys, monkeypatch):
    monkeypatch.setattr(stage, "N_GRAPH", 24)
    run_stage(workspace)
    first = (workspace / "cells.csv").read_bytes()
    run_stage(workspace, "--seed", "99")
    assert (workspace / "cells.csv").read_bytes() == first
    out = capsys.readouterr().out
    assert "rank" in out and "max VIF" in out and "72 cells kept, 0 added" in out


def test_stage_drops_the_cells_of_a_removed_level(workspace, capsys, monkeypatch):
    monkeypatch.setattr(stage, "N_GRAPH", 24)
    run_stage(workspace)
    text = (workspace / "factors.yaml").read_text()
    (workspace / "factors.yaml").write_text(text.replace(", rmsprop", ""))
    monkeypatch.setattr(stage, "N_GRAPH", 12)
    run_stage(workspace)
    assert "rmsprop" not in (workspace / "cells.csv").read_text()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("init: [he]\n", "init"),
        ("init: [he, he]\n", "twice"),
        ("- 1\n", "factor"),
        ("init: [a, b]\nnorm: [none, batch]\n", "activation"),
    ],
)
def test_bad_factors_are_one_line_and_nothing_written(tmp_path, text, complaint):
    (tmp_path / "factors.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        run_stage(tmp_path)
    assert complaint in refused(caught.value)
    assert not (tmp_path / "cells.csv").exists()


def test_more_graph_cells_than_the_factors_have_are_one_line(workspace):
    with pytest.raises(UsageError, match="36 combinations: allowed are levels enough for 140 graph cells"):
        run_stage(workspace)
    assert not (workspace / "cells.csv").exists()


def test_a_disk_that_is_full_ends_the_command_in_one_line(workspace):
    """As every stage: through `command`, with status 2, and what was there stays."""
    code = (
        "import errno, sys\nfrom folklore.stages import design\nfrom folklore.stages.command import command\n"
        "def full(*_): raise OSError(errno.ENOSPC, 'No space left on device', 'cells.csv')\n"
        "design.atomic_write, design.N_GRAPH = full, 12\nsys.exit(command(design.main))"
    )
    arguments = ["--factors", workspace / "factors.yaml", "--cells", workspace / "cells.csv", "--starts", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: cells.csv: No space left on device; make room")


def test_a_design_of_other_factors_is_refused(workspace):
    (workspace / "cells.csv").write_text("depth\n3\n")
    factors = stage.read_factors(workspace / "factors.yaml")
    with pytest.raises(UsageError, match="fresh"):
        stage.read_cells(workspace / "cells.csv", factors)
    (workspace / "cells.csv").write_text("batch_size\nmany\n")
    with pytest.raises(UsageError, match=r"line 2: batch_size=many: allowed is a value of kind int"):
        stage.read_cells(workspace / "cells.csv", factors)
