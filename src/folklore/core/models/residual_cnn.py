"""The convolutional net with identity skips around blocks of two layers; where positions are halved, the skip takes every second one."""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._convolution import anatomy, classified, convolved, lengths, stride
from folklore.core.models.residual import opens
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    depth, positions, skip = net.layout.depth, lengths(net.layout), None
    h = net.positions(x)
    for i in range(depth):
        z = convolved(net, i, h)
        if opens(i):
            skip = h
        elif skip is not None:
            z = net.joined(z, skip, positions[i - 1], stride(depth, i - 1))
        h = net.drop(i, net.activate(z))
    return classified(net, h)
