"""Recurrent, over a row as a sequence; a layer has one norm for all its steps, whose moments are those of all of them together."""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._recurrent import anatomy_of, logits_of
from folklore.core.networks import Anatomy, Layout, Pass


def anatomy(layout: Layout) -> Anatomy:
    return anatomy_of(layout, own=1)


def forward(net: Pass, x: Tensor) -> Tensor:
    return logits_of(net, x, own=1)
