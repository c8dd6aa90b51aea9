"""The data of a stack: each run's own training rows, in its own order, a block of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from folklore.core import lookup, orders
from folklore.core.ahead import mapped, sent
from folklore.core.randomness import permutation
from folklore.core.sources import Rows

_PROCESSOR = torch.device("cpu")


class Batches:
    """Minibatches of a stack. Run r draws `n_train` rows of the pool by its seed and sees them in the `order` of that level.

    The order does not depend on the batch size: arms that differ in it see the same samples, cut differently.
    The last, incomplete batch of an epoch is dropped.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        seeds: Sequence[int],
        n_train: int,
        batch_size: int,
        order: str = "reshuffled",
        device: torch.device = _PROCESSOR,
    ) -> None:
        """x (N, F) and y (N,) of the pool; the batches are on the device."""
        self.x, self.y, self._labels, self.batch_size = x.to(device), y.to(device), y, batch_size
        self.seeds, self.order = seeds, lookup.function(orders, order)

        def subset(seed: int) -> np.ndarray:
            return permutation(seed, "subset", len(x), first=n_train)

        self.rows = np.stack(mapped(subset, seeds, device=device))
        self.steps_per_epoch = n_train // batch_size
        self._epoch = -1
        self._order = np.empty(0)

    def block(self, step: int, steps: int) -> tuple[Rows, Tensor]:
        """Inputs (S, R, B, F) and labels (S, R, B) of the updates step .. step + S - 1, all of one epoch."""
        epoch, first = divmod(step, self.steps_per_epoch)
        self._shuffle(epoch)
        cut = self._order[:, first * self.batch_size : (first + steps) * self.batch_size]
        index = cut.reshape(len(self.seeds), steps, self.batch_size).transpose(1, 0, 2)
        index = sent(index, self.x.device)
        return Rows(self.x, index), self.y.index_select(0, index.view(-1)).view_as(index)

    def steps_left(self, step: int) -> int:
        """Updates until the epoch of update `step` ends."""
        return self.steps_per_epoch - step % self.steps_per_epoch

    def _shuffle(self, epoch: int) -> None:
        if epoch != self._epoch:

            def own(seed: int, rows: np.ndarray) -> np.ndarray:
                return rows[self.order(seed, self._labels[torch.from_numpy(rows)], epoch)]

            self._order = np.stack(mapped(own, self.seeds, self.rows, device=self.x.device))
            self._epoch = epoch
