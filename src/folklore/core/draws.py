"""Random numbers of a stack during training, drawn a block of steps at a time, each run's from its own counters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from folklore.core import kept
from folklore.core.ahead import mapped, sent
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
        if not self.drops:
            return None
        step, steps = self._updates(fresh)
        if self.device.type == "cpu":
            found = kept.factors(self.seeds, purpose, step, steps, shape, self.thresholds, self.scales)
        else:
            found = self._sent(purpose, shape, fresh)
        return found if fresh else found.expand(self.steps, *found.shape[1:])

    def _sent(self, purpose: str, shape: tuple[int, ...], fresh: bool) -> Tensor:
        """Drawn by all cores; a byte travels for a factor, not four."""
        keep = np.empty((self._updates(fresh)[1], len(self.seeds), *shape), dtype=np.bool_)

        def draw(r: int, seed: int, threshold: int) -> None:
            if threshold:
                np.greater_equal(self._words(seed, purpose, shape, fresh), threshold, out=keep[:, r])
            else:  # a run that drops nothing needs no draws: its own counter stream is nobody else's
                keep[:, r] = True

        mapped(draw, range(len(self.seeds)), self.seeds, self.thresholds, device=self.device)
        factors = sent(keep, self.device).to(torch.float32)
        return factors.mul_(self.scales.view(1, -1, *[1] * len(shape)))

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Numbers above 0 and below 1, in steps of 2^-16."""
        words = mapped(lambda seed: self._words(seed, purpose, shape, True), self.seeds, device=self.device)
        return sent((np.stack(words, axis=1).astype(np.float32) + 0.5) / _LEVELS, self.device)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers, by the quantile function; none is beyond 4.2."""
        return torch.special.ndtri(self.uniform(purpose, shape))

    def _words(self, seed: int, purpose: str, shape: tuple[int, ...], fresh: bool) -> np.ndarray:
        step, steps = self._updates(fresh)
        return uint16_block(seed, purpose, step, steps, int(np.prod(shape))).reshape(steps, *shape)

    def _updates(self, fresh: bool) -> tuple[int, int]:
        """The first of the updates to draw for, and how many there are."""
        return (self.step, self.steps) if fresh else (0, 1)
