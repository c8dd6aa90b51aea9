"""Random numbers of a stack during training, drawn a block of steps at a time, each run's from its own counters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from folklore.core.ahead import mapped, sent
from folklore.core.kept import Kept
from folklore.core.randomness import uint16_block

_LEVELS = 1 << 16


class Draws:
    """Numbers of the runs with these seeds; `at` says for which updates. Shapes: (S, R, *shape), one independent draw for each update."""

    def __init__(self, seeds: Sequence[int], rates: Sequence[float], device: torch.device) -> None:
        """`rates`: each run's probability of being dropped."""
        self.seeds, self.device = seeds, device
        self.drops = any(rate > 0 for rate in rates)
        self.thresholds = [round(rate * _LEVELS) for rate in rates]
        self.scales = torch.tensor(
            [1 / (1 - t / _LEVELS) for t in self.thresholds], dtype=torch.float32, device=device
        )
        self.step, self.steps = 0, 1

    def at(self, step: int, steps: int) -> Draws:
        """The same draws for the updates step .. step + S - 1."""
        self.step, self.steps = step, steps
        return self

    def keep(self, purpose: str, shape: tuple[int, ...], *, fresh: bool = True) -> Tensor | None:
        """Inverted dropout: factors 0 or 1/(1 - rate), 0 when a 16-bit draw is below rate * 65536. None when no run drops anything.

        `fresh` false: every update has the draws of the first.
        """
        found = self.kept(purpose, shape, fresh=fresh)
        return None if found is None else found.tensor

    def kept(self, purpose: str, shape: tuple[int, ...], *, fresh: bool = True) -> Kept | None:
        """The same, drawn when they are wanted."""
        if not self.drops:
            return None
        first = self.step if fresh else 0
        return Kept(
            purpose, shape, tuple(self.seeds), tuple(self.thresholds), self.scales, first, self.steps, fresh
        )

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Numbers above 0 and below 1, in steps of 2^-16."""
        words = mapped(lambda seed: self._words(seed, purpose, shape), self.seeds, device=self.device)
        return sent((np.stack(words, axis=1).astype(np.float32) + 0.5) / _LEVELS, self.device)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers, by the quantile function; none is beyond 4.2."""
        return torch.special.ndtri(self.uniform(purpose, shape))

    def _words(self, seed: int, purpose: str, shape: tuple[int, ...]) -> np.ndarray:
        words = uint16_block(seed, purpose, self.step, self.steps, int(np.prod(shape)))
        return words.reshape(self.steps, *shape)
