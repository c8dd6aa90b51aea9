"""Convolutional, over a sample's inputs as one row of positions: kernels of 3, positions halved up to three times, their mean.

Each hidden layer is convolution, norm, activation, dropout, in that order; `width` is the number of channels.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._convolution import anatomy, classified, convolved
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    h = net.positions(x)
    for i in range(net.layout.depth):
        h = net.drop(i, net.activate(convolved(net, i, h)))
    return classified(net, h)
