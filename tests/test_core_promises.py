"""What the stacked core promises: a run is the same bits wherever it trains, and divergence is a result.

"The same" is equality of every number of a run's results, its curves included, NaN equal to NaN.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from folklore import levels
from folklore.core import training
from folklore.core.training import Stack, curve_marks, first_bad, train
from folklore.grid import Run

INPUTS, CLASSES = 12, 4
BASE = Run(n_train=512, depth=2, width=16, batch_size=32, lr=0.05, updates=8, loss_points=8, score_test=True)
SLOTS = (0, 5, 12, 31)  # looked at alone and in other stacks


def synthetic(inputs: int, classes: int, pool: int, scored: int) -> SimpleNamespace:
    """Separable-ish clouds; `scored` rows for validation and as many for the test."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((classes, inputs))
    arrays = {}
    for split, rows in (("pool", pool), ("val", scored), ("test", scored)):
        y = rng.integers(0, classes, rows)
        arrays[f"{split}_x"] = (centres[y] + rng.standard_normal((rows, inputs))).astype(np.float32)
        arrays[f"{split}_y"] = y
    return SimpleNamespace(classes=classes, **arrays)


DATA = synthetic(INPUTS, CLASSES, pool=640, scored=200)


def stack_of(width: int = 32, **changes: object) -> list[Run]:
    """Runs of one graph that differ in every number that a stack may differ in."""
    inits, rates = ("he_normal", "orthogonal", "constant"), (0.05, 0.2, 0.01)
    runs = [
        replace(
            BASE,
            seed=i,
            init=inits[i % 3],
            lr=rates[i % 3],
            weight_decay=0.01 * (i % 2),
            momentum=0.1 * (i % 10),
        )
        for i in range(width)
    ]
    return [replace(run, **changes) for run in runs]


def with_dropout(runs: Sequence[Run]) -> list[Run]:
    return [replace(run, dropout=(0.0, 0.2, 0.5)[i % 3]) for i, run in enumerate(runs)]


def bits(result: dict) -> str:
    """Text that is equal for equal numbers only: JSON writes the shortest decimal that names a float."""
    return json.dumps(result, sort_keys=True)


def assert_same(actual: dict, expected: dict) -> None:
    differing = [key for key in expected if bits({key: actual[key]}) != bits({key: expected[key]})]
    assert not differing, f"differ: {differing}"
    assert actual.keys() == expected.keys()


def assert_independent(runs: Sequence[Run], data: SimpleNamespace = DATA) -> None:
    """The runs of a stack of 32, alone, in a stack of 8 and in the stack turned round, beside a run that blows up."""
    together = train(runs, data)
    for slot in SLOTS:
        assert_same(train([runs[slot]], data)[0], together[slot])
    for slot, result in enumerate(train(runs[5:13], data), start=5):
        assert_same(result, together[slot])
    wild = replace(runs[3], lr=1e6, init="he_normal", weight_decay=0.0)
    turned = train([*runs[:3:-1], wild, *runs[2::-1]], data)[::-1]
    for slot in {*range(len(runs))} - {3}:
        assert_same(turned[slot], together[slot])


# --- independence of neighbours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("batch_size", [2, 32, 512])
def test_a_run_is_the_same_in_any_stack(batch_size: int, norm: str, dropout: bool) -> None:
    runs = stack_of(batch_size=batch_size, norm=norm, optimizer="momentum", updates=6)
    assert_independent(with_dropout(runs) if dropout else runs)


@pytest.mark.parametrize(
    ("factor", "level"),
    [(factor, level) for factor in ("activation", "optimizer", "schedule") for level in levels.names(factor)],
)
def test_a_run_of_any_level_is_the_same_in_any_stack(factor: str, level: str) -> None:
    assert_independent(with_dropout(stack_of(norm="batch", updates=5, **{factor: level})))


@pytest.mark.parametrize("init", levels.names("init"))
def test_initial_weights_do_not_depend_on_the_stack(init: str) -> None:
    runs = [replace(run, init=init) if i == 5 else run for i, run in enumerate(stack_of(8, updates=1))]
    assert_same(train(runs, DATA)[5], train([runs[5]], DATA)[0])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("batch_size", [2, 32])
def test_a_run_is_the_same_in_any_stack_at_the_size_of_the_studies(batch_size: int, norm: str) -> None:
    """3 x 100 units, ten classes and thousands of rows to score: the scores, too, must not be summed by the stack's width."""
    data = synthetic(40, 10, pool=600, scored=1500)
    runs = [
        replace(run, depth=3, width=100, norm=norm, batch_size=batch_size, updates=4) for run in stack_of(32)
    ]
    together = train(runs, data)
    for part in (*(slice(slot, slot + 1) for slot in SLOTS), slice(0, 8), slice(15, 32)):
        for actual, expected in zip(train(runs[part], data), together[part], strict=True):
            assert_same(actual, expected)


def test_a_run_is_the_same_in_any_stack_at_odd_sizes() -> None:
    """Where matrices of a stack do not start at multiples of 16 bytes, a product's kernel must not depend on it."""
    data = synthetic(7, 3, pool=90, scored=101)
    assert_independent(
        [replace(run, n_train=81, batch_size=3, width=9, norm="batch") for run in stack_of(32)], data
    )


def test_the_test_split_is_scored_for_those_who_ask_only() -> None:
    runs = [replace(run, score_test=i == 1) for i, run in enumerate(stack_of(3, norm="batch"))]
    scored = train(runs, DATA)
    for i, result in enumerate(scored):
        numbers = (result[key] for key in ("test_accuracy", "test_loss", "recalibrated_accuracy"))
        assert all((number is not None) == (i == 1) for number in numbers)
    assert_same(scored[1], train([runs[1]], DATA)[0])


# --- divergence -----------------------------------------------------------------------------------------------------


def test_divergence_is_a_result() -> None:
    """Status, the update, NaN losses and scores at chance; the curve keeps what was seen."""
    runs = [BASE, replace(BASE, lr=1e6)]
    fine, wild = train(runs, DATA)
    assert (fine["status"], fine["diverged_step"]) == ("ok", None)
    assert wild["status"] == "diverged"
    assert 1 < wild["diverged_step"] <= BASE.updates
    curve = wild["loss_curve"]
    assert all(math.isfinite(loss) for loss in curve[: wild["diverged_step"] - 1])
    assert not math.isfinite(curve[wild["diverged_step"] - 1])
    assert wild["val_accuracy"] == wild["test_accuracy"] == 1 / CLASSES
    assert all(math.isnan(wild[key]) for key in ("train_loss", "val_loss", "test_loss"))
    assert all(0 <= score <= 1 for score in wild["val_curve"])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("optimizer", levels.names("optimizer"))
def test_a_stack_whose_runs_all_blow_up_still_ends(optimizer: str, norm: str) -> None:
    """Rates at the end of float32: nothing is raised, and whoever has no finite loss is called diverged."""
    for result in train([replace(run, lr=1e38) for run in stack_of(3, optimizer=optimizer, norm=norm)], DATA):
        finite = all(math.isfinite(loss) for loss in (*result["loss_curve"], result["val_loss"]))
        assert (result["status"] == "ok") == finite
        assert (result["diverged_step"] is None) == finite
        assert 0 <= result["val_accuracy"] <= 1


def test_every_run_diverged() -> None:
    results = train([replace(run, lr=1e30, init="he_normal") for run in stack_of(4)], DATA)
    assert [result["status"] for result in results] == ["diverged"] * 4


def test_the_step_of_divergence() -> None:
    """The first non-finite loss counts from 1; a final score that is not finite counts as the last update."""
    losses = np.ones((5, 4), dtype=np.float32)
    losses[2, 1], losses[4, 1], losses[0, 2] = np.inf, np.nan, np.nan
    assert first_bad(losses, np.array([1.0, np.nan, np.nan, np.inf])) == [None, 3, 1, 5]


# --- results --------------------------------------------------------------------------------------------------------


def test_results_are_plain_and_go_through_json_and_parquet(tmp_path: Path) -> None:
    """Numbers, strings, None and lists of numbers: no tensor and no NumPy scalar."""
    rows = train([*stack_of(2, norm="batch"), replace(BASE, norm="batch", lr=1e6, score_test=False)], DATA)
    for row in rows:
        for value in row.values():
            listed = [*value.values()] if isinstance(value, dict) else value
            items = listed if isinstance(listed, list) else [listed]
            assert all(type(item) in (int, float, str, type(None)) for item in items)
        assert bits(json.loads(bits(row))) == bits(row)
    flat = [row | {"measures": list(row["measures"])} for row in rows]
    pq.write_table(pa.Table.from_pylist(flat), tmp_path / "rows.parquet")
    for row, read in zip(flat, pq.read_table(tmp_path / "rows.parquet").to_pylist(), strict=True):
        assert bits(read) == bits(row)


def test_curves_have_the_promised_points() -> None:
    result = train([replace(BASE, updates=37, loss_points=5)], DATA)[0]
    assert result["loss_step"] == [7, 15, 22, 30, 37]
    assert len(result["loss_curve"]) == 5
    assert result["val_step"] == curve_marks(37, 4)  # eight updates apart
    assert len(result["val_curve"]) == 4
    assert len(result["grad_norms"]) == BASE.depth + 1
    assert result["train_loss"] == pytest.approx(result["loss_curve"][-1], rel=1e-6)
    short = train([replace(BASE, updates=1)], DATA)[0]
    assert (short["loss_step"], short["val_step"]) == ([1], [1])


def test_windows_of_the_loss_curve_are_means_of_the_losses() -> None:
    every = train([replace(BASE, updates=20, loss_points=20)], DATA)[0]["loss_curve"]
    windows = train([replace(BASE, updates=20, loss_points=4)], DATA)[0]["loss_curve"]
    np.testing.assert_allclose(windows, np.reshape(every, (4, 5)).mean(axis=1), rtol=1e-6)


def test_learning_reaches_the_separable_clouds() -> None:
    """40 epochs: far above chance, and the loss falls."""
    result = train([replace(BASE, updates=640, norm="batch")], DATA)[0]
    assert result["test_accuracy"] > 0.8
    assert result["train_loss"] < result["loss_curve"][0] / 2
    assert abs(result["recalibrated_accuracy"] - result["test_accuracy"]) < 0.1


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    train(stack_of(2), DATA, tick=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


# --- the process and the device -------------------------------------------------------------------------------------

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
import test_core_promises as promises
results = promises.train(promises.with_dropout(promises.stack_of(4, norm="batch")), promises.DATA)
print("\\n".join(map(promises.bits, results)))
"""


def test_two_processes_compute_the_same() -> None:
    """Nothing hangs on the process: not on the hash seed, nor on what it did before."""
    paths = [str(Path(__file__).parent), *sys.path]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *paths],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    first, second = (child.communicate(timeout=300)[0] for child in children)
    here = train(with_dropout(stack_of(4, norm="batch")), DATA)
    assert first == second
    assert first.splitlines() == [bits(result) for result in here]


def test_training_leaves_the_arithmetic_of_its_caller_alone() -> None:
    """Training flushes denormal numbers to zero, for speed; what follows in the same process must not."""
    train([replace(BASE, updates=1)], DATA)
    smallest = np.float64(5e-324)
    assert smallest * 1 > 0


def test_the_device_is_passed_through(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def stack(runs: list[Run], data: object, device: torch.device) -> None:
        asked.append(device)
        raise StopIteration

    monkeypatch.setattr(training, "Stack", stack)
    with pytest.raises(StopIteration):
        train([BASE], DATA, device="meta")
    assert asked == [torch.device("meta")]


def test_every_tensor_of_a_stack_is_on_the_device() -> None:
    """The meta device has shapes only, and refuses to be mixed with another: a tensor left behind would raise."""
    stack = Stack(with_dropout(stack_of(2, norm="batch", optimizer="adam")), DATA, torch.device("meta"))
    for losses in stack._updates(stack.parameters, stack.state, stack.hyper, stack._block(0, 2)):
        assert losses.shape == (2,)
        assert losses.device.type == "meta"
