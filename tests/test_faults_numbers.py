"""NaN, infinity and overflow in some runs of a stack: those are marked, their neighbours keep every bit, and the store holds both."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from folklore.core.training import train
from folklore.grid import Run
from folklore.stages.calibrate import Quiet
from folklore.stages.jobs import Trainer
from test_core_promises import DATA, assert_same, stack_of, with_dropout

# by slot: overflow in the first update, in the forward pass before it, some updates later, and NaN as 0 x infinity of a decay
SICK = {
    0: {"lr": 3e38},
    6: {"bias": 3e38},
    7: {"lr": 1e4, "init": "he_normal"},
    15: {"lr": 1e30, "weight_decay": 1e30},
}


@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_the_neighbours_of_sick_runs_keep_every_bit(optimizer: str, dropout: bool) -> None:
    healthy = stack_of(16, optimizer=optimizer)
    healthy = with_dropout(healthy) if dropout else healthy
    expected = train(healthy, DATA)
    results = train([replace(run, **SICK.get(slot, {})) for slot, run in enumerate(healthy)], DATA)
    for slot, result in enumerate(results):
        if slot not in SICK:
            assert_same(result, expected[slot])
            continue
        assert result["status"] == "diverged"
        first = next(i for i, loss in enumerate(result["loss_curve"], 1) if not math.isfinite(loss))
        assert result["diverged_step"] == first
        assert result["val_accuracy"] == result["test_accuracy"] == 1 / DATA.classes
    assert results[6]["diverged_step"] == 1 < results[7]["diverged_step"]


def test_they_are_stored_side_by_side(data_root: Path, tmp_path: Path) -> None:
    """And read back as they were trained: what diverged is a result, and is not trained again."""
    base = Run(data="digits", n_train=256, width=16, updates=10, lr=0.1, score_test=True, loss_points=5)
    runs = [replace(base, seed=seed, lr=3e38 if seed % 3 == 1 else 0.1) for seed in range(6)]
    trainer = Trainer(tmp_path, Quiet())
    trainer.data_root = data_root
    fresh = trainer(runs)
    assert [fresh[run.key]["status"] for run in runs] == ["ok", "diverged", "ok"] * 2
    again = Trainer(tmp_path, Quiet())
    again.data_root = tmp_path / "nothing"  # whoever trained would need data
    stored = again(runs)
    for run in runs:
        for name in ("status", "val_accuracy", "test_accuracy"):
            assert stored[run.key][name] == fresh[run.key][name]
        assert math.isnan(stored[run.key]["train_loss"]) == (run.lr > 1)
