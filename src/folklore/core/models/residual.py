"""Fully connected with identity skips (He et al. 2016): blocks of two layers, to which their input is added before the last activation.

The first layer projects to the net's width and has no skip, nor has a last layer that is left without a partner.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward", "joined", "opens"]


def opens(i: int) -> bool:
    """Whether hidden layer i is the first of a block; its input is added to the layer after it."""
    return i % 2 == 1


def joined(net: Pass, h: Tensor, skip: Tensor) -> Tensor:
    """Pre-activations (R, B, units * pieces) plus the block's input (R, B, units), which every piece of a unit gets."""
    return (h.unflatten(-1, (net.layout.pieces, -1)) + skip.unsqueeze(-2)).flatten(-2)


def forward(net: Pass, x: Tensor) -> Tensor:
    skip = None
    for i in range(net.layout.depth):
        h = net.norm(i, net.linear(i, x))
        if opens(i):
            skip = x
        elif skip is not None:
            h = joined(net, h, skip)
        x = net.drop(i, net.activate(h))
    return net.linear(net.layout.depth, x)
