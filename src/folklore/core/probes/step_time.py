"""What the activation costs: microseconds of an update, as training makes it, nanoseconds of the function alone, each beside ReLU's in turns.

Every run of a stack makes a round of its own, so the rounds are replicates. Clocked are a full stack of fresh nets of the run's layout and
one slab of hidden units, whatever stack the run trained in: processor time of this process, which another process at work disturbs little,
and of several turns the median, since now and then a turn is disturbed all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core import activations
from folklore.core.blocks import Block
from folklore.core.making import updating
from folklore.core.networks import initial
from folklore.core.sources import Given
from folklore.core.steps import optimizer_state

if TYPE_CHECKING:
    from folklore.core.training import Stack

REPEATABLE = False  # the only measures that are not the same numbers again
WIDTH, TURNS, STEPS, CALLS = 32, 5, 20, 20  # a block of updates is about as long in training
Clock = Callable[[], float]


def measure(stack: Stack) -> dict[str, np.ndarray]:
    clocks = {
        "step_us": step_clock(stack, stack.one.activation),
        "relu_step_us": step_clock(stack, "relu"),
        "unit_ns": unit_clock(stack, stack.one.activation),
        "relu_unit_ns": unit_clock(stack, "relu"),
    }
    for clock in clocks.values():
        clock()  # what is allocated at first does not count
    rounds = [one_round(clocks) for _ in stack.runs]
    return {name: np.array([found[name] for found in rounds]) for name in clocks}


def one_round(clocks: dict[str, Clock]) -> dict[str, float]:
    """The median of each clock over the turns; every other turn goes the other way round."""
    turns = [{name: clocks[name]() for name in (reversed(clocks) if t % 2 else clocks)} for t in range(TURNS)]
    return {name: median(turn[name] for turn in turns) for name in clocks}


def step_clock(stack: Stack, activation: str) -> Clock:
    """Microseconds of a whole update of one network, as training makes it: forward pass, backward pass, optimizer."""
    layout = replace(stack.layout, activation=activation)
    parameters = initial(layout, [stack.one.init] * WIDTH, range(WIDTH), stack.device)
    state = optimizer_state(stack.one.optimizer, parameters.trained())
    hyper = {name: column[:1].expand(WIDTH, 1, 1) for name, column in stack.hyper.items()}
    x, y = (
        rows[:1].expand(STEPS, WIDTH, *rows.shape[1:]).contiguous()
        for rows in stack.training_rows(stack.one.batch_size)
    )
    updates = updating(layout, stack.rule, stack.device)
    block = Block(Given(x), y, {}, {}, [1.0] * STEPS, 1)

    def clock() -> float:
        start = now(stack.device)
        updates(parameters, state, hyper, block)
        return (now(stack.device) - start) / (STEPS * WIDTH) * 1e6

    return clock


def unit_clock(stack: Stack, activation: str) -> Clock:
    """Nanoseconds of the function for a unit and row, forward and backward."""
    function = getattr(activations, activation)
    width = stack.one.width * replace(stack.layout, activation=activation).pieces
    h = torch.randn(WIDTH, stack.one.batch_size, width, generator=torch.Generator().manual_seed(0))
    h = h.to(stack.device).requires_grad_()
    slope = torch.ones_like(function(h))

    def clock() -> float:
        start = now(stack.device)
        for _ in range(CALLS):
            torch.autograd.grad(function(h), h, slope)
        return (now(stack.device) - start) / (CALLS * slope.numel()) * 1e9

    return clock


def now(device: torch.device) -> float:
    """Seconds: of this process where the processor does the work, of the wall where a device does."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
