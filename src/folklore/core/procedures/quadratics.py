"""Not the net, but quadratic problems: the run's optimizer, rate and momentum are tried on those of `_quadratics`, its net stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core import optimizers, schedules
from folklore.core.procedures._quadratics import book, of_run
from folklore.core.updates import slots

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    """Measure: decades, by how many powers of ten the problems' values fall."""
    book(stack, [_values(stack, r) for r in range(len(stack.runs))])


@torch.no_grad()
def _values(stack: Stack, r: int) -> np.ndarray:
    """f (updates + 1, P) on the way of run r."""
    one, problems = stack.one, of_run(stack.runs[r].seed)
    level, factor = getattr(optimizers, one.optimizer), getattr(schedules, one.schedule)
    x = torch.from_numpy(problems.start.copy())[None]
    names, state = slots(level), [torch.zeros_like(x) for _ in slots(level)]
    rate, momentum = (stack.hyper[name][r : r + 1].double().cpu() for name in ("lr", "momentum"))
    values = []
    with np.errstate(all="ignore"):
        for t in range(1, one.updates + 1):
            value, slope = problems.value_and_slope(x[0].numpy())
            values.append(value)
            g, known = torch.from_numpy(slope)[None], dict(zip(names, state, strict=True))
            x, *state = level(x, g, rate * factor(t, one.updates), momentum, t, **known)
        return np.stack([*values, problems.value_and_slope(x[0].numpy())[0]])
