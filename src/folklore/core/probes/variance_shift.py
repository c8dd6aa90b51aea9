"""How far the variance of pre-activations is from what batch normalisation expects of it, once dropout is switched off.

`variance_shift_I` at place I: log2 of the variance of the pre-activations in evaluation mode over the running variance, both added up over
the units of the layer; 0 where the two agree, below 0 where training saw more variance. On ROWS training rows, so that nothing but the mode
differs. Nets without running moments have no such measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from folklore.core.networks import Pass

if TYPE_CHECKING:
    from folklore.core.training import Stack

ROWS = 1024


class _Watched(Pass):
    """Keeps the variances (R, H) of what each norm is given."""

    def norm(self, i: int, h: Tensor) -> Tensor:
        self.variances[i] = h.var(dim=1)
        return super().norm(i, h)


@torch.no_grad()
def measure(stack: Stack) -> dict[str, np.ndarray]:
    net = _Watched(stack.layout, stack.parameters, {}, training=False)
    net.variances = {}
    net.logits(stack.training_rows(ROWS)[0])
    if stack.one.norm != "batch":
        return {}
    found = {}
    for i, variance in sorted(net.variances.items()):
        expected = stack.parameters.running[i][1].sum(dim=(1, 2))
        shift = torch.log2(variance.sum(dim=1) / expected).double().cpu().numpy()
        found[f"variance_shift_{i}"] = np.where(np.isfinite(shift), shift, np.nan)
    return found
