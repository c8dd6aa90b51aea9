"""As usual, with the size of an early update measured against that of the weights: `log_update_ratio`, to the base 10.

The norm of the change of all weight matrices together over their norm before it, its geometric mean over the updates of MARKS; NaN where
one of them is not finite, or the budget ends before all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from folklore.core.training import Stack

MARKS = (4, 8, 12, 16)
SMALLEST = 1e-12  # a net that stands still has a logarithm, too


def train(stack: Stack) -> None:
    found = [log_ratio(stack, mark) for mark in MARKS if mark <= stack.one.updates]
    stack.advance(stack.one.updates)
    missing = np.full(len(stack.runs), np.nan)
    stack.measures["log_update_ratio"] = sum(found) / len(found) if len(found) == len(MARKS) else missing


def log_ratio(stack: Stack, mark: int) -> np.ndarray:
    """Make the updates up to number `mark`; log10 of the last one's norm over that of the weights before it, (R,)."""
    stack.advance(mark - 1)
    before = [w.detach().double() for w in stack.parameters.weights]
    stack.advance(mark)
    change = [w.detach().double() - b for w, b in zip(stack.parameters.weights, before, strict=True)]
    ratio = (_square(change) / _square(before)).sqrt().clamp(min=SMALLEST)
    return torch.where(ratio.isfinite(), ratio.log10(), torch.nan).cpu().numpy()


def _square(tensors: list[Tensor]) -> Tensor:
    """Sum of squares (R,) over all of a run's numbers."""
    return torch.stack([t.flatten(1).square().sum(dim=1) for t in tensors]).sum(dim=0)
