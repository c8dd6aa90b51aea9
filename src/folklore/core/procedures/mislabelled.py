"""A bug on purpose: labels and inputs are shuffled apart, anew in every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.batches import Batches
from folklore.core.randomness import permutation
from folklore.core.sources import Rows

if TYPE_CHECKING:
    from folklore.core.training import Stack


class Mislabelled(Batches):
    """Batches whose labels are in another order than their inputs."""

    def block(self, step: int, steps: int) -> tuple[Rows, Tensor]:
        x, y = super().block(step, steps)
        orders = [
            [permutation(seed, "mislabelled", self.batch_size, step + i) for seed in self.seeds]
            for i in range(steps)
        ]
        return x, y.gather(2, torch.from_numpy(np.array(orders)).to(y.device))


def train(stack: Stack) -> None:
    plain, one = stack.batches, stack.one
    stack.batches = Mislabelled(
        plain.x, plain.y, plain.seeds, one.n_train, one.batch_size, one.order, stack.device
    )
    stack.advance(one.updates)
