"""Fully connected with identity skips (He et al. 2016): blocks of two layers, to which their input is added before the last activation.

The first layer projects to the net's width and has no skip, nor has a last layer that is left without a partner.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward", "opens"]


def opens(i: int) -> bool:
    """Whether hidden layer i is the first of a block; its input is added to the layer after it."""
    return i % 2 == 1


def forward(net: Pass, x: Tensor) -> Tensor:
    skip = None
    for i in range(net.layout.depth):
        z = net.norm(i, net.linear(i, x))
        if opens(i):
            skip = x
        elif skip is not None:
            z = net.joined(z, skip)
        x = net.drop(i, net.activate(z))
    return net.linear(net.layout.depth, x)
