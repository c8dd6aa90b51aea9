"""The data of a stack: each run's own training rows, in its own order, and its dropout masks, drawn a block of steps at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from folklore.core.randomness import permutation, uint16_block

_LEVELS = 1 << 16


class Batches:
    """Minibatches of a stack. Run r draws `n_train` rows of the pool by its seed and reshuffles them every epoch.

    The order does not depend on the batch size: arms that differ in it see the same samples, cut differently.
    The last, incomplete batch of an epoch is dropped.
    """

    def __init__(self, x: Tensor, y: Tensor, seeds: Sequence[int], n_train: int, batch_size: int) -> None:
        self.x, self.y, self.batch_size = x, y, batch_size
        self.seeds = seeds
        self.rows = np.stack([permutation(s, "subset", len(x))[:n_train] for s in seeds])
        self.steps_per_epoch = n_train // batch_size
        self._epoch = -1
        self._order = np.empty(0)

    def block(self, step: int, steps: int) -> tuple[Tensor, Tensor]:
        """Inputs (S, R, B, F) and labels (S, R, B) of the updates step .. step + S - 1, all of one epoch."""
        epoch, first = divmod(step, self.steps_per_epoch)
        self._shuffle(epoch)
        cut = self._order[:, first * self.batch_size : (first + steps) * self.batch_size]
        index = cut.reshape(len(self.seeds), steps, self.batch_size).transpose(1, 0, 2)
        index = torch.from_numpy(np.ascontiguousarray(index)).to(self.x.device)
        # index_select copies rows four times as fast as indexing does
        flat = index.view(-1)
        return self.x.index_select(0, flat).view(*index.shape, -1), self.y.index_select(0, flat).view_as(
            index
        )

    def steps_left(self, step: int) -> int:
        """Updates until the epoch of update `step` ends."""
        return self.steps_per_epoch - step % self.steps_per_epoch

    def _shuffle(self, epoch: int) -> None:
        if epoch != self._epoch:
            n = self.rows.shape[1]
            orders = (permutation(s, "order", n, epoch) for s in self.seeds)
            self._order = np.stack([rows[o] for rows, o in zip(self.rows, orders, strict=True)])
            self._epoch = epoch


class Masks:
    """Inverted dropout: factors 0 or 1/(1 - rate), a unit dropped when its 16-bit draw is below rate * 65536."""

    def __init__(
        self, seeds: Sequence[int], rates: Sequence[float], shape: tuple[int, int, int], device: torch.device
    ):
        """`shape`: hidden layers, batch size, units."""
        self.seeds, self.shape, self.device = seeds, shape, device
        self.active = any(rate > 0 for rate in rates)
        self.thresholds = [round(rate * _LEVELS) for rate in rates]
        scales = [1 / (1 - t / _LEVELS) for t in self.thresholds]
        self.scales = torch.tensor(scales, dtype=torch.float32, device=device).view(-1, 1, 1)

    def block(self, step: int, steps: int) -> Tensor | None:
        """(S, layers, R, B, H) for the updates step .. step + S - 1, or None when no run drops anything."""
        if not self.active:
            return None
        layers, rows, units = self.shape
        keep = np.empty((steps, layers, len(self.seeds), rows, units), dtype=np.bool_)
        for r, (seed, threshold) in enumerate(zip(self.seeds, self.thresholds, strict=True)):
            if threshold:
                drawn = uint16_block(seed, "dropout", step, steps, layers * rows * units)
                np.greater_equal(drawn.reshape(steps, layers, rows, units), threshold, out=keep[:, :, r])
            else:  # a run that drops nothing needs no draws: its own counter stream is nobody else's
                keep[:, :, r] = True
        return torch.from_numpy(keep).to(self.device, torch.float32).mul_(self.scales)
