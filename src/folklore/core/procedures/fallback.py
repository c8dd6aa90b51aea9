"""First a ReLU net at a rate of `amount` hundredths, for a sixth of the updates; then, from where it is, the run's own activation and rate.

`died` is 1 where after the first part the logits are the same for every validation row, else 0. The optimizer forgets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.networks import forward
from folklore.core.steps import optimizer_state

if TYPE_CHECKING:
    from folklore.core.training import Stack

FIRST = 6  # one part in
ROWS = 512  # at once, the same for every stack


def train(stack: Stack, amount: int) -> None:
    rate, layout = stack.hyper["lr"], stack.layout
    _set(stack, torch.full_like(rate, amount / 100), replace(layout, activation="relu"))
    stack.advance(stack.one.updates // FIRST)
    stack.measures["died"] = _constant(stack)
    _set(stack, rate, layout)
    stack.advance(stack.one.updates)


def _set(stack: Stack, rate: torch.Tensor, layout: object) -> None:
    stack.hyper["lr"], stack.layout = rate, layout
    stack.rule = stack.rule  # the update is made anew, for this layout
    stack.state = optimizer_state(stack.one.optimizer, stack.parameters.trained())


@torch.no_grad()
def _constant(stack: Stack) -> np.ndarray:
    """1.0 where the logits are the same for every validation row, (R,). A net that has diverged has not died."""
    x, _ = stack.tensors("val")
    shared = (part.expand(len(stack.runs), -1, -1) for part in x.split(ROWS))
    said = torch.cat([forward(stack.layout, stack.parameters, part) for part in shared], dim=1)
    return (said == said[:, :1]).all(dim=(1, 2)).double().cpu().numpy()
