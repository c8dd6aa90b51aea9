"""What is left of the accuracy when hidden units are taken away at random, and how alike the units are.

On the first ROWS test rows, over DRAWS random choices of units, each layer losing a unit with the given probability:
`whole_accuracy` with none removed; `removed_P` with P percent removed and nothing done about it; `rescaled_P` with what is left scaled up
by 1/(1 - P/100), as dropout does. `correlation`: mean absolute correlation over those rows of two units of the last hidden layer that are
not constant there. NaN for runs that may not see the test split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.losses import correct
from folklore.core.networks import Pass
from folklore.core.probes._thinned import logits_of, nothing, scored, test_rows, thinned, unseen

if TYPE_CHECKING:
    from folklore.core.training import Stack

ROWS, DRAWS = 2048, 8
PERCENT = (10, 20, 50)
NAMES = (
    "whole_accuracy",
    "correlation",
    *(f"{how}_{share}" for share in PERCENT for how in ("removed", "rescaled")),
)


@torch.no_grad()
def measure(stack: Stack) -> dict[str, np.ndarray]:
    allowed = scored(stack)
    if not allowed.any():
        return nothing(stack, NAMES)
    found = {"whole_accuracy": _accuracy(stack, [{}]), "correlation": _correlation(stack)}
    for share in PERCENT:
        nets = thinned(stack, f"robustness/{share}", [share / 100] * len(stack.runs), DRAWS)
        bare = [{site: (factor > 0).float() for site, factor in net.items()} for net in nets]
        found |= {f"removed_{share}": _accuracy(stack, bare), f"rescaled_{share}": _accuracy(stack, nets)}
    return unseen(stack, found, allowed)


def _accuracy(stack: Stack, nets: list) -> Tensor:
    """Mean accuracy (R,) of the nets with these factors."""
    right, rows = 0.0, 0
    for x, y in test_rows(stack, ROWS):
        right = right + sum(correct(logits_of(stack, x, factors), y) for factors in nets)
        rows += y.shape[1] * len(nets)
    return right.double() / rows


class _Watched(Pass):
    """Keeps what each hidden layer puts out."""

    def drop(self, i: int, h: Tensor) -> Tensor:
        self.last = super().drop(i, h)
        return self.last


def _correlation(stack: Stack) -> Tensor:
    """(R,)"""
    parts = []
    for x, _ in test_rows(stack, ROWS):
        net = _Watched(stack.layout, stack.parameters, {}, training=False)
        net.logits(x)
        parts.append(net.last)
    return mean_correlation(torch.cat(parts, dim=1))


def mean_correlation(h: Tensor) -> Tensor:
    """Mean absolute correlation (R,) of two columns of h (R, B, H); constant columns do not count. NaN with fewer than two."""
    h = h - h.mean(dim=1, keepdim=True)
    size = h.square().sum(dim=1, keepdim=True).sqrt()
    alive = size[:, 0] > 1e-6
    h = h / size.clamp(min=1e-6) * alive[:, None]
    pairs = alive.sum(dim=1) * (alive.sum(dim=1) - 1)
    both = torch.bmm(h.mT, h).abs().sum(dim=(1, 2)) - alive.sum(dim=1)
    return torch.where(pairs > 0, both / pairs, torch.nan)
