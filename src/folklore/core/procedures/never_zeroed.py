"""A bug on purpose: gradients are never set to zero, so that each update follows the sum of all so far; for the optimizer `momentum`.

A velocity that forgets nothing, v <- v + g, is that sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    stack.hyper["momentum"] = torch.ones_like(stack.hyper["momentum"])
    stack.advance(stack.one.updates)
