"""From the first update to the last; then the units that the mask `frozen` dropped are taken out for good.

What leaves them is set to 0, and what leaves the others is multiplied by 1/(1 - rate), so that ordinary scores are those of the net that
was trained, not of one with units that never were. For nets whose weight matrix i + 1 reads hidden layer i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from folklore.core import masks

if TYPE_CHECKING:
    from folklore.core.training import Stack


def train(stack: Stack) -> None:
    stack.advance(stack.one.updates)
    kept = masks.frozen(stack.draws.at(0, 1), stack.one.batch_size, stack.layout.anatomy)
    with torch.no_grad():
        for (_, i), factor in kept.items():
            if factor is not None:
                stack.parameters.weights[i + 1].mul_(factor.tensor[0].mT)
