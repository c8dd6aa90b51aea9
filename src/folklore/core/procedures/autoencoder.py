"""Begin with the hidden layers of a denoising autoencoder (Vincent et al. 2008), trained on the inputs of the whole pool, twice as long,
without labels.

A quarter of each row's inputs is set to zero, a linear decoder on the last hidden layer has to restore them all; squared error, Adam.
Then the decoder is cut off, and the net with its fresh output layer is trained as usual. Fully connected nets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.affine import affine
from folklore.core.networks import Pass, update_running
from folklore.core.optimizers import adam
from folklore.core.procedures._transfer import earlier, inherit
from folklore.core.randomness import generator
from folklore.core.steps import optimizer_state
from folklore.core.updates import numbers_of, update_by

if TYPE_CHECKING:
    from folklore.core.training import Stack

TIMES, RATE, ZEROED, BLOCK = 2, 0.001, 0.25, 16


def train(stack: Stack) -> None:
    updates, rows = TIMES * stack.one.updates, len(stack.data.pool_x)
    early, places = earlier(stack, stack.data, updates=updates, rows=rows)
    stack.measures["unexplained"] = _restore(early)[list(places)]
    inherit(stack, early, places)
    stack.advance(stack.one.updates)


def _restore(early: Stack) -> np.ndarray:
    """Train the hidden layers in place; the share of the inputs' squared length (R,) that is not restored, over the last updates."""
    step, updates, errors = _decoding(early), early.one.updates, []
    first = 0
    while first < updates:
        steps = min(BLOCK, updates - first, early.batches.steps_left(first))
        x = early.batches.block(first, steps)[0].tensor
        kept = early.draws.at(first, steps).uniform("noise", tuple(x.shape[2:])) > ZEROED
        errors += [step(x[i], x[i] * kept[i], float(first + i + 1)) for i in range(steps)]
        first += steps
    late = torch.stack(errors[-max(1, updates // 20) :], dim=1).cpu().numpy()
    return np.array([own.mean(dtype=np.float64) for own in late])


def _decoding(early: Stack) -> Callable[[Tensor, Tensor, float], Tensor]:
    """An update from clean rows (R, B, F), the rows with noise and the update's number; returns the share not restored (R,)."""
    layout, parameters, device = early.layout, early.parameters, early.device
    shape = (layout.width, layout.inputs)
    drawn = [generator(run.seed, "decoder").standard_normal(shape) / layout.width**0.5 for run in early.runs]
    decoder = torch.from_numpy(np.stack(drawn).astype(np.float32)).to(device)
    offset = torch.zeros(len(early.runs), 1, layout.inputs, device=device)
    hidden = [*parameters.weights[:-1], *parameters.biases[:-1], *parameters.gains, *parameters.shifts]
    leaves = [tensor.requires_grad_() for tensor in (*hidden, decoder, offset)]
    state, rate = optimizer_state("adam", leaves), torch.full((len(early.runs), 1, 1), RATE, device=device)
    unused = torch.zeros_like(rate)

    def step(clean: Tensor, noisy: Tensor, t: float) -> Tensor:
        net = Pass(layout, parameters, {}, training=True)
        h = noisy
        for i in range(layout.depth):
            h = net.activate(net.norm(i, net.linear(i, h)))
        restored = affine(h, decoder, offset)
        error = restored.detach() - clean
        slopes = torch.autograd.grad(restored, leaves, error * (1 / clean.shape[1]))
        with torch.no_grad():
            numbers = numbers_of(adam, rate, unused, unused, t)
            for leaf, slope, slots in zip(leaves, slopes, state, strict=True):
                update_by(adam, [leaf, *slots], numbers, t, slope)
            update_running(parameters, net.seen)
        return error.flatten(1).square().sum(dim=1) / clean.flatten(1).square().sum(dim=1)

    return step
