"""Begin with `amount` units in each hidden layer and double them whenever the loss has settled, up to the net's width.

Settled: over a window of CHECK updates the mean loss of a run has fallen by less than a hundredth of it. A unit that is not there yet
has outgoing weights of zero and gets no gradient; when it is added, it has its random incoming weights, so what the net computes does
not change at that moment. `grow` from the full width is training as usual. Measures, of each run:
operations   multiply-adds until the mean loss of WINDOW updates is at most TARGET; of the whole budget at full width where it never is
speed        minus log2 of these, less by the missing loss where it never is: what rates are tuned for
arrived      1 where it is
grown        units in the end
jump         mean loss of the WINDOW updates after an addition minus that before, averaged over the additions; NaN without any
jump_random  loss at once if the new units had been given random outgoing weights, minus the loss, on training rows, likewise
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.losses import cross_entropy
from folklore.core.networks import forward

if TYPE_CHECKING:
    from folklore.core.training import Stack

CHECK, SETTLED, WINDOW, TARGET, ROWS = 100, 0.01, 20, 0.8, 256


def train(stack: Stack, amount: int) -> None:
    width, updates, runs = stack.layout.width, stack.one.updates, len(stack.runs)
    start = [weight.detach().clone() for weight in stack.parameters.weights]
    units = np.full(runs, min(amount, width))
    _admit(stack, units)
    sizes, windows, jumps = np.empty((updates, runs)), np.zeros(runs), []
    while (first := stack.done) < updates:
        stack.advance(min(first + CHECK, updates))
        sizes[first : stack.done] = units
        windows += 1
        settled = (windows > 1) & (units < width) & _settled(stack.losses[: stack.done])
        if settled.any() and stack.done < updates:
            more = np.where(settled, np.minimum(2 * units, width), units)
            jumps.append((stack.done, settled, _shock(stack, units, more, start)))
            _admit(stack, more)
            units, windows = more, np.where(settled, 0, windows)
    stack.measures |= _work(stack, sizes) | _jumps(stack, jumps) | {"grown": units.astype(float)}


def _settled(losses: np.ndarray) -> np.ndarray:
    """(R,) from losses (U, R), of two windows at least where it counts."""
    before, now = losses[-2 * CHECK : -CHECK], losses[-CHECK:]
    if not len(before):
        return np.zeros(losses.shape[1], dtype=bool)
    return _mean(before) - _mean(now) < SETTLED * _mean(before)


def _mean(losses: np.ndarray) -> np.ndarray:
    """Mean (R,) of (U, R); a sum over the runs' own numbers, in an order that does not depend on how many runs there are."""
    return np.array([own.mean(dtype=np.float64) for own in np.ascontiguousarray(losses.T)])


@torch.no_grad()
def _admit(stack: Stack, units: np.ndarray) -> None:
    """Let the first `units` of each run's hidden layers learn; the others have no outgoing weights, and get no gradient."""
    for i, weight in enumerate(stack.parameters.weights[1:], start=1):
        unit = torch.arange(weight.shape[1], device=weight.device).view(1, -1, 1)
        there = unit < torch.from_numpy(units).to(weight.device).view(-1, 1, 1)
        weight.copy_(torch.where(there, weight, torch.zeros_like(weight)))
        stack.fixed["weight", i] = there.to(weight.dtype).expand_as(weight)


@torch.no_grad()
def _shock(stack: Stack, now: np.ndarray, more: np.ndarray, start: list[torch.Tensor]) -> np.ndarray:
    """By how much the loss (R,) on training rows would rise if the new units had the outgoing weights that they were drawn with."""
    x, y = stack.training_rows(ROWS)
    before, kept = cross_entropy(forward(stack.layout, stack.parameters, x), y), stack.parameters.weights
    low, high = (torch.from_numpy(n).to(stack.device).view(-1, 1, 1) for n in (now, more))
    unit = torch.arange(stack.layout.width, device=stack.device).view(1, -1, 1)
    new = (unit >= low) & (unit < high)
    stack.parameters.weights = [
        kept[0],
        *(torch.where(new, drawn, own) for drawn, own in zip(start[1:], kept[1:], strict=True)),
    ]
    after = cross_entropy(forward(stack.layout, stack.parameters, x), y)
    stack.parameters.weights = kept
    return (after - before).cpu().numpy().astype(float)


def _work(stack: Stack, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Operations to the target, from the number of units at each update (U, R)."""
    one, layout = stack.one, stack.layout
    middle = sizes**2 * (layout.depth - 1)
    done = np.cumsum(3 * one.batch_size * (sizes * (layout.inputs + layout.classes) + middle), axis=0)
    weights = layout.width * (layout.inputs + layout.classes) + layout.width**2 * (layout.depth - 1)
    most = float(3 * one.batch_size * weights * one.updates)
    ends = range(min(WINDOW, one.updates), one.updates + 1, WINDOW)
    loss = np.stack([_mean(stack.losses[max(0, end - WINDOW) : end]) for end in ends])
    there = loss <= TARGET
    arrived = there.any(axis=0)
    when = np.array(ends)[there.argmax(axis=0)] - 1
    work = np.where(arrived, done[when, np.arange(len(stack.runs))], most)
    missing = np.nan_to_num(np.clip(loss[-1] - TARGET, 0, 10), nan=10)
    speed = -np.log2(work) - np.where(arrived, 0, missing)
    return {"operations": work, "speed": speed, "arrived": arrived.astype(float)}


def _jumps(stack: Stack, jumps: list[tuple[int, np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Means (R,) over a run's additions."""
    count, seen, random = np.zeros((3, len(stack.runs)))
    for at, grown, shock in jumps:
        rise = _mean(stack.losses[at : at + WINDOW]) - _mean(stack.losses[at - WINDOW : at])
        count, seen, random = (
            count + grown,
            seen + np.where(grown, rise, 0),
            random + np.where(grown, shock, 0),
        )
    never = np.where(count, count, np.nan)
    return {"jump": seen / never, "jump_random": random / never}
