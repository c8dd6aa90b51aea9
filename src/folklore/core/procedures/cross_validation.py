"""As usual, after the same net was trained on the run's own rows without each of `amount` parts, and scored on that part.

Measures `cv_accuracy`, the share of all training rows that the net trained without them gets right, and `split_accuracy`, the same for
the first part alone, which is what one split into training and validation rows gives. Every net begins with the same weights and makes
as many updates as the run itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.losses import correct
from folklore.core.networks import forward

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack, *, amount: int) -> None:
    parts = np.array_split(np.arange(stack.one.n_train), amount)
    right = [_right(stack, part) for part in parts]
    stack.measures["cv_accuracy"] = sum(right) / stack.one.n_train
    stack.measures["split_accuracy"] = right[0] / len(parts[0])
    stack.advance(stack.one.updates)


def _right(stack: Stack, part: np.ndarray) -> np.ndarray:
    """Rows (R,) of a part of the training rows that nets trained on the others get right."""
    held_out = trained_without(stack, part)
    index = torch.from_numpy(np.ascontiguousarray(stack.batches.rows[:, part])).to(stack.device)
    with torch.no_grad():
        logits = forward(held_out.layout, held_out.parameters, stack.batches.x[index])
        return correct(logits, stack.batches.y[index]).cpu().numpy()


def trained_without(stack: Stack, part: np.ndarray) -> Stack:
    """The runs of a stack, trained on their own rows without those at the positions `part`."""
    from folklore.core.training import Stack

    rows = np.delete(stack.batches.rows, part, axis=1)
    size = min(stack.one.batch_size, rows.shape[1])
    inner = Stack(
        [replace(run, n_train=rows.shape[1], batch_size=size) for run in stack.runs], stack.data, stack.device
    )
    inner.batches.rows, inner.marks = rows, [inner.one.updates]
    inner.advance(inner.one.updates)
    return inner
