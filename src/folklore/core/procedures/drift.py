"""As `once`, and measures on the way how far the inputs of the layers move in one update: the drift called internal covariate shift.

At POINTS places of training the same ROWS training rows are sent through the net before and after an update, in training mode and with
whatever that update's masks multiply. The inputs of each weight matrix but the first have a mean and a deviation for every unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core import lookup, masks
from folklore.core.affine import affine
from folklore.core.networks import Pass

if TYPE_CHECKING:
    from torch import Tensor

    from folklore.core.training import Stack

POINTS, ROWS = 16, 256
_SMALL = 1e-3  # of a deviation: units that are silent on all rows do not count as moving


def train(stack: Stack) -> None:
    """Measures, means over places, layers and units: drift_mean, how far means move, in deviations; drift_spread, |change of log deviation|."""
    moves: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(POINTS):
        stack.advance(i * stack.one.updates // POINTS)
        before = moments(stack)
        stack.advance(stack.done + 1)
        moves.append(_moved(before, moments(stack)))
    stack.advance(stack.one.updates)
    for name, found in zip(("drift_mean", "drift_spread"), zip(*moves, strict=True), strict=True):
        stack.measures[name] = np.stack(found, axis=1).mean(axis=1)


@torch.no_grad()
def moments(stack: Stack) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and deviation (R, units) of the inputs of each layer but the first, with the masks of the update to come."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def linear(i: int, h: Tensor) -> Tensor:
        mean = h.mean(dim=1, keepdim=True)
        deviation = (h - mean).square().mean(dim=1).sqrt()
        seen.append((mean.squeeze(1).double().cpu().numpy(), deviation.double().cpu().numpy()))
        return affine(h, stack.parameters.weights[i], stack.parameters.biases[i])

    x, _ = stack.training_rows(ROWS)
    draws = stack.draws.at(stack.done, 1)
    drawn = lookup.function(masks, stack.one.mask)(draws, x.shape[1], stack.layout.anatomy)
    factors = {site: factor.tensor[0] for site, factor in drawn.items() if factor is not None}
    Pass(stack.layout, stack.parameters, stack.fixed | factors, training=True, linear=linear).logits(x)
    return seen[1:]


def _moved(
    before: list[tuple[np.ndarray, np.ndarray]], after: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Means over layers and units (R,) of |change of mean| / deviation and of |change of log deviation|."""
    layers = [_layer(*one, *other) for one, other in zip(before, after, strict=True)]
    shifts, spreads = (np.stack(found, axis=1).mean(axis=1) for found in zip(*layers, strict=True))
    return shifts, spreads


def _layer(m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for one layer, from means m, n and deviations s, t (R, units). NaN where a run has diverged."""
    alive = ~((s <= _SMALL) | (t <= _SMALL))
    count = np.maximum(alive.sum(axis=1), 1)
    with np.errstate(all="ignore"):
        shift = np.where(alive, np.abs(n - m) / s, 0.0)
        spread = np.where(alive, np.abs(np.log(t / s)), 0.0)
    return shift.sum(axis=1) / count, spread.sum(axis=1) / count
