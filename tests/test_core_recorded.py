"""A recorded step makes the updates that the step itself makes, and is recorded anew when other tensors come.

Without a GPU a recording is the update itself on the recording's own tensors: all but CUDA's part is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from folklore import levels
from folklore.core import training
from folklore.core.recorded import BEFORE, Recorded
from folklore.core.steps import make_step
from folklore.core.training import Stack, train
from plain_nets import BASE as SMALL
from test_core_promises import DATA, assert_same, stack_of, with_dropout

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
KINDS = {  # what a recording has to copy, and the tensors that an update writes
    "plain": {},
    "normalised": {"norm": "batch"},
    "decaying": {"schedule": "exponential", "optimizer": "adam"},
    "masked": {"mask": "weights", "optimizer": "momentum"},
    "clipped": {"clip": 0.5},
    "penalised": {"l1": 0.001},
    "growing": {"procedure": "grow-2", "depth": 3, "updates": 48},
    "until": {"procedure": "until_loss-50"},
}


class Recorder:
    """Counts recordings and replays."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, update: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1

        def replay() -> Tensor:
            self.replayed += 1
            return update()

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Every step of a stack is recorded, as on a GPU."""
    found = Recorder()
    monkeypatch.setattr(
        training, "updating", lambda layout, rule, _: Recorded(make_step(layout, rule), found)
    )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_makes_the_same_updates(
    kind: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = with_dropout(stack_of(6, **{"updates": 24} | KINDS[kind]))
    found = train(runs, DATA)
    assert recorder.recorded and recorder.replayed
    monkeypatch.undo()
    for one, other in zip(found, train(runs, DATA), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("optimizer", levels.names("optimizer"))
def test_every_optimizer_takes_the_number_of_an_update_as_a_tensor(
    optimizer: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = stack_of(3, optimizer=optimizer, lr=0.01)
    found = train(runs, DATA)
    assert recorder.replayed
    monkeypatch.undo()
    for one, other in zip(found, train(runs, DATA), strict=True):
        assert_same(one, other)


def test_other_tensors_are_recorded_anew(recorder: Recorder) -> None:
    stack = Stack(stack_of(2, updates=40), DATA, torch.device("cpu"))
    stack.advance(4)
    assert (recorder.recorded, recorder.replayed) == (1, 4 - BEFORE)
    stack.advance(16)
    assert (recorder.recorded, recorder.replayed) == (1, 16 - BEFORE)
    stack.parameters.weights[0] = stack.parameters.weights[0].clone()
    stack.advance(40)
    assert (recorder.recorded, recorder.replayed) == (2, 40 - 2 * BEFORE)


@GPU
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_trains_what_a_processor_trains(kind: str) -> None:
    """Within what float32 sums in another order differ by, over a few updates."""
    runs = with_dropout(stack_of(6, **KINDS[kind] | {"updates": 8}))
    for one, other in zip(train(runs, DATA, device="cuda"), train(runs, DATA), strict=True):
        assert one["loss_curve"] == pytest.approx(other["loss_curve"], rel=1e-3, abs=1e-5)


@GPU
def test_neighbours_on_a_gpu_are_strangers() -> None:
    runs = [replace(SMALL, seed=seed, optimizer="adam", norm="batch") for seed in range(16)]
    turned = train(runs[::-1], DATA, device="cuda")[::-1]
    for one, other in zip(train(runs, DATA, device="cuda"), turned, strict=True):
        assert_same(one, other)
