"""Networks of a stack: parameters with a leading run axis, and the forward pass.

A hidden layer is linear, norm, activation, dropout, in that order; there is no dropout on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import getfullargspec
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from folklore.core import activations, initializers, norms
from folklore.core.affine import affine, stored
from folklore.core.norms import Moments
from folklore.core.randomness import generator

RUNNING_WEIGHT = 0.1


@dataclass(frozen=True)
class Layout:
    """What the graph of an MLP depends on."""

    inputs: int
    classes: int
    depth: int
    width: int
    activation: str
    norm: str

    @property
    def pieces(self) -> int:
        """Affine maps that one hidden unit takes the maximum of."""
        keywords = getfullargspec(getattr(activations, self.activation)).kwonlydefaults or {}
        return keywords.get("pieces", 1)

    @property
    def fans(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of each weight matrix, first layer first; fan_out counts all pieces."""
        widths = [self.inputs] + [self.width] * self.depth
        hidden = [(a, b * self.pieces) for a, b in pairwise(widths)]
        return [*hidden, (widths[-1], self.classes)]


@dataclass
class Parameters:
    """Tensors of a stack. weights[l] (R, in, out); biases[l] (R, 1, out); gains, shifts and running moments (R, 1, out)."""

    weights: list[Tensor]
    biases: list[Tensor]
    gains: list[Tensor]
    shifts: list[Tensor]
    running: list[Moments]

    def trained(self) -> list[Tensor]:
        return [*self.weights, *self.biases, *self.gains, *self.shifts]

    def with_trained(self, tensors: Sequence[Tensor]) -> Parameters:
        """The same parameters, the trained ones replaced, in the order of `trained`."""
        a = len(self.weights)
        b = a + len(self.biases)
        c = b + len(self.gains)
        return Parameters(
            list(tensors[:a]), list(tensors[a:b]), list(tensors[b:c]), list(tensors[c:]), self.running
        )


def initial(layout: Layout, inits: Sequence[str], seeds: Sequence[int], device: torch.device) -> Parameters:
    """Initial parameters of a stack, run r by level `inits[r]` with seed `seeds[r]`; biases and shifts 0, gains 1."""
    runs = len(seeds)

    def fill(value: float, width: int) -> Tensor:
        return torch.full((runs, 1, width), value, device=device)

    def drawn(layer: int) -> Tensor:
        each = [_weights(layout, layer, n, s) for n, s in zip(inits, seeds, strict=True)]
        return stored(torch.from_numpy(np.stack(each)).to(device))

    weights = [drawn(layer) for layer in range(len(layout.fans))]
    outs = [fan_out for _, fan_out in layout.fans]
    normed = outs[:-1] if layout.norm != "none" else []
    return Parameters(
        weights,
        [fill(0.0, out) for out in outs],
        [fill(1.0, out) for out in normed],
        [fill(0.0, out) for out in normed],
        [(fill(0.0, out), fill(1.0, out)) for out in normed],
    )


def _weights(layout: Layout, layer: int, init: str, seed: int) -> np.ndarray:
    fan_in, fan_out = layout.fans[layer]
    pieces = layout.pieces if layer < layout.depth else 1
    rng = generator(seed, f"init/{layer}")
    # each piece of a maxout unit is an affine map of its own: its fan_out is the layer's width, not all pieces together
    drawn = [getattr(initializers, init)(rng, fan_in, fan_out // pieces) for _ in range(pieces)]
    return np.concatenate(drawn, axis=1).astype(np.float32)


def forward(
    layout: Layout,
    parameters: Parameters,
    x: Tensor,
    keep: Sequence[Tensor],
    *,
    training: bool,
    linear: Callable[[int, Tensor], Tensor] | None = None,
) -> tuple[Tensor, list[Moments]]:
    """Logits (R, B, C) of inputs (R, B, F), and the batch moments of each layer whose norm has any.

    `keep`: for each hidden layer a factor (R, B, H), 0 for a dropped unit and 1/(1 - rate) for a kept one, or nothing at all.
    `linear`: the affine map of a layer's number and its inputs, where the plain one will not do.
    """
    linear = linear or (lambda i, h: affine(h, parameters.weights[i], parameters.biases[i]))
    activation, norm = getattr(activations, layout.activation), getattr(norms, layout.norm)
    h, seen = x, []
    for i in range(layout.depth):
        h = linear(i, h)
        if parameters.gains:
            moments = None if training else parameters.running[i]
            h, batch = norm(h, parameters.gains[i], parameters.shifts[i], moments)
            seen += [batch] if batch else []
        h = activation(h)
        if keep:
            h = h * keep[i]
    return linear(layout.depth, h), seen


def update_running(parameters: Parameters, seen: Sequence[Moments], rows: int) -> None:
    """In place: moving averages of mean and unbiased variance, weight .1, as `torch.nn.BatchNorm1d` keeps them."""
    averages = parameters.running if seen else []  # a norm without moments averages nothing
    for (mean, variance), (batch_mean, batch_variance) in zip(averages, seen, strict=True):
        mean.lerp_(batch_mean, RUNNING_WEIGHT)
        variance.lerp_(batch_variance * (rows / (rows - 1)), RUNNING_WEIGHT)
