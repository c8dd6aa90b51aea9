"""The clock of activations with a clock of its own: units, turns, and what is clocked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch

from folklore.core import activations
from folklore.core.networks import Layout
from folklore.core.probes import step_time
from folklore.core.recorded import Updates
from folklore.core.training import Stack
from plain_nets import BASE, CPU, DATA

RELUS = {"step_us": "relu_step_us", "unit_ns": "relu_unit_ns"}


def stack(activation: str, *seeds: int) -> Stack:
    return Stack([replace(BASE, activation=activation, seed=s) for s in seeds], DATA, CPU)


def test_times_are_in_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock moves on by a second between two looks at it, a step and a unit take their share of a second."""
    ticks = count()
    monkeypatch.setattr(step_time, "now", lambda device: float(next(ticks)))
    found = step_time.measure(stack("tanh", 1, 2, 3))
    units = step_time.CALLS * step_time.WIDTH * BASE.batch_size * BASE.width
    for name, relu in RELUS.items():
        expected = 1e6 / (step_time.STEPS * step_time.WIDTH) if name == "step_us" else 1e9 / units
        assert np.allclose(found[name], expected)
        assert np.allclose(found[relu], expected)
        assert found[name].shape == (3,)


def test_a_round_is_the_median_of_turns_that_go_to_and_fro() -> None:
    seen: list[str] = []
    times = {
        name: iter([first, 1.0, 900.0, 3.0, 2.0]) for name, first in (("a", 2.0), ("b", 800.0), ("c", 0.5))
    }

    def clock(name: str) -> float:
        seen.append(name)
        return next(times[name])

    clocks = {name: partial(clock, name) for name in "abc"}
    assert step_time.one_round(clocks) == {"a": 2.0, "b": 3.0, "c": 2.0}
    assert seen == [*"abc", *"cba", *"abc", *"cba", *"abc"]


@pytest.mark.parametrize("activation", ["tanh", "maxout"])
def test_the_function_of_the_run_and_relu_are_clocked(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    for name in (activation, "relu"):
        function = getattr(activations, name)

        def counted(
            h: torch.Tensor, *, pieces: int = 2 if name == "maxout" else 1, name=name, function=function
        ):
            calls[name] += 1
            return function(h)

        monkeypatch.setattr(activations, name, counted)
    steps: Counter[str] = Counter()
    real = step_time.updating

    def made(layout: Layout, *given: object) -> Updates:
        steps[layout.activation] += 1
        return real(layout, *given)

    monkeypatch.setattr(step_time, "updating", made)
    nets = stack(activation, 1, 2)
    calls.clear()
    step_time.measure(nets)
    assert steps == {activation: 1, "relu": 1}
    assert calls["relu"] > 3 * step_time.CALLS  # as a function; in a step it is part of the products
    assert calls[activation] >= calls["relu"]
