"""Until the training loss is down to `amount` thousandths: from there on a run stands still, so that its final scores are those at that loss.

The loss is measured every CHECK updates in evaluation mode, without dropout and by moving averages, on ROWS training rows: what noise adds to
the loss of a training step does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.losses import cross_entropy
from folklore.core.networks import forward

if TYPE_CHECKING:
    from torch import Tensor

    from folklore.core.training import Stack

CHECK, ROWS = 8, 512


def train(stack: Stack, *, amount: int) -> None:
    """Measures: stopped_at (number of the last update, NaN where the loss was never reached), stopped_loss (the loss there, or at the end)
    and matched_accuracy: validation accuracy, chance where the loss was never reached.
    """
    runs, running = len(stack.runs), _copied(stack)
    stopped, loss = np.full(runs, np.nan), np.full(runs, np.nan)
    while stack.done < stack.one.updates:
        moving = np.isnan(stopped)
        stack.advance(min(stack.done + CHECK, stack.one.updates))
        if not moving.any():
            continue
        running = _chosen(stack, moving, _copied(stack), running)
        loss = np.where(moving, training_loss(stack), loss)
        stopped[moving & (loss <= amount / 1000)] = stack.done
        still = _as_column(stack, ~np.isnan(stopped))
        stack.hyper["lr"] = stack.hyper["lr"].masked_fill(still, 0.0)
    stack.parameters.running = running  # moving averages go on moving at a rate of 0
    accuracy, _ = stack.score("val")
    stack.measures |= {
        "stopped_at": stopped,
        "stopped_loss": loss,
        "matched_accuracy": np.where(np.isnan(stopped), 1 / stack.data.classes, accuracy),
    }


@torch.no_grad()
def training_loss(stack: Stack) -> np.ndarray:
    """Mean loss (R,) of the first training rows in evaluation mode."""
    x, y = stack.training_rows(ROWS)
    return cross_entropy(forward(stack.layout, stack.parameters, x), y).double().cpu().numpy()


Running = list[tuple["Tensor", "Tensor"]]


def _copied(stack: Stack) -> Running:
    return [(mean.clone(), variance.clone()) for mean, variance in stack.parameters.running]


def _chosen(stack: Stack, moving: np.ndarray, new: Running, old: Running) -> Running:
    """The new averages where a run still moves, else the old ones."""
    moves = _as_column(stack, moving)
    pairs = ((a, b) for one, other in zip(new, old, strict=True) for a, b in zip(one, other, strict=True))
    flat = [torch.where(moves, a, b) for a, b in pairs]
    return list(zip(flat[::2], flat[1::2], strict=True))


def _as_column(stack: Stack, of_runs: np.ndarray) -> Tensor:
    return torch.from_numpy(of_runs).to(stack.device).view(-1, 1, 1)
