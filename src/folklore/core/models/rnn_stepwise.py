"""Recurrent, over a row as a sequence; a norm for each step of a layer (Cooijmans et al. 2017).

The steps beyond four fifths of a row, which the sequences of the augmentation `lengths` do not reach, share the norm of the last before.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._recurrent import anatomy_of, logits_of, steps_of
from folklore.core.networks import Anatomy, Layout, Pass


def anatomy(layout: Layout) -> Anatomy:
    return anatomy_of(layout, own=_own(layout))


def forward(net: Pass, x: Tensor) -> Tensor:
    return logits_of(net, x, own=_own(net.layout))


def _own(layout: Layout) -> int:
    return max(1, steps_of(layout) * 4 // 5)
