"""What a judge's frame says of a tuning run: whether its rate is the one nearest to the choice, which may lie between two rates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from folklore.frames import Frames
from folklore.grid import Cell, Rates, Run


def chosen(lr: float, phase: str, choice: float) -> bool:
    cell = Cell("s", "main", "arm", Run(), Rates(), 0.1, 3, 4, 2, "val_accuracy", None)
    outcome = {"lr": choice, "edge": "", "rates": {"0.05": [0.5], "0.1": [0.6], "0.2": [0.6]}}
    frames = SimpleNamespace(chosen={cell.key: outcome})
    return bool(Frames._labels(frames, cell, phase, 0, Run(lr=lr))["chosen"])


@pytest.mark.parametrize(("choice", "nearest"), [(0.1, 0.1), (0.119, 0.1), (0.168, 0.2), (0.2, 0.2)])
def test_the_tuned_rate_nearest_to_the_choice_is_marked(choice: float, nearest: float) -> None:
    assert [rate for rate in (0.05, 0.1, 0.2) if chosen(rate, "tune", choice)] == [nearest]


def test_confirmed_runs_are_at_the_choice_and_those_of_the_halved_grid_are_not() -> None:
    assert chosen(0.119, "confirm", 0.119)
    assert not chosen(0.1, "half", 0.119)
