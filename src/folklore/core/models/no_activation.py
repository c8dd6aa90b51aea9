"""A bug on purpose: a fully connected net whose activations were forgotten, a linear map however deep it is."""

from __future__ import annotations

from torch import Tensor

from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    for i in range(net.layout.depth):
        x = net.drop(i, net.norm(i, net.linear(i, x)))
    return net.linear(net.layout.depth, x)
