"""How well a net has fitted rows that it was trained on: accuracy and loss on the first of them, in evaluation mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from folklore.core.losses import correct, cross_entropy
from folklore.core.networks import forward

if TYPE_CHECKING:
    import numpy as np

    from folklore.core.training import Stack

ROWS = 1024


@torch.no_grad()
def measure(stack: Stack) -> dict[str, np.ndarray]:
    x, y = stack.training_rows(ROWS)
    logits = forward(stack.layout, stack.parameters, x)
    return {
        "training_accuracy": (correct(logits, y).double() / y.shape[1]).cpu().numpy(),
        "training_loss": cross_entropy(logits, y).double().cpu().numpy(),
    }
