"""Silent units: the share of hidden units that no validation row activates, and whether the net says the same of every row.

`dead_share` counts a unit of each hidden layer whose activation is nowhere above zero: behind a ReLU it gets no gradient from these rows.
`dead_net` is 1 where the logits do not depend on the row at all. Both are NaN where a run has diverged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.networks import Pass

if TYPE_CHECKING:
    from folklore.core.training import Stack

ROWS = 512  # at once, the same for every stack


class _Watched(Pass):
    """A pass that keeps what its activations give, in the order in which they are used."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.given: list[Tensor] = []

    def activate(self, h: Tensor) -> Tensor:
        self.given.append(super().activate(h))
        return self.given[-1]


@torch.no_grad()
def measure(stack: Stack) -> dict[str, np.ndarray]:
    x, _ = stack.tensors("val")
    active, logits = [], []
    for part in x.split(ROWS):
        net = _Watched(stack.layout, stack.parameters, {}, training=False)
        logits.append(net.logits(part.expand(len(stack.runs), -1, -1)))
        active.append(torch.cat([(h > 0).any(dim=1) for h in net.given], dim=1))  # (R, units)
    said = torch.cat(logits, dim=1)
    silent = ~torch.stack(active).any(dim=0)
    found = {
        "dead_share": silent.double().mean(dim=1),
        "dead_net": (said == said[:, :1]).all(dim=(1, 2)).double(),
    }
    fine = said.isfinite().all(dim=(1, 2))
    return {name: torch.where(fine, values, torch.nan).cpu().numpy() for name, values in found.items()}
