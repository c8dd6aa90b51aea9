"""Remove `amount` percent of the weights in rounds, by lot, and train on after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.procedures._pruning import train_and_remove
from folklore.core.randomness import generator

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack, amount: int) -> None:
    train_and_remove(stack, amount, _lots)


def _lots(stack: Stack) -> list[Tensor]:
    """The same lots in every round, so that what is gone stays gone."""
    shapes = [tuple(weight.shape[1:]) for weight in stack.parameters.weights]
    lots = [
        np.stack([generator(run.seed, f"lots/{i}").random(shape) for run in stack.runs])
        for i, shape in enumerate(shapes)
    ]
    return [torch.from_numpy(worth).to(stack.device) for worth in lots]
