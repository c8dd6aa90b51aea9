"""Convolutional, over a sample's inputs as one row of positions: kernels of 3, positions halved up to three times, their mean.

Each hidden layer is convolution, norm, activation, dropout, in that order; `width` is the number of channels.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._convolution import activated, anatomy, classified, convolved
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    batch = x.shape[1]
    x = x.unsqueeze(-1)
    for i in range(net.layout.depth):
        x = activated(net, i, convolved(net, i, x), batch)
    return classified(net, x)
