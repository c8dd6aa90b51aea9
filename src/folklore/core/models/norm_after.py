"""Fully connected with the norm behind the nonlinearity: each hidden layer is linear, activation, norm, dropout, in that order."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from folklore.core.models.mlp import anatomy as before
from folklore.core.networks import Anatomy, Layout, Pass


def anatomy(layout: Layout) -> Anatomy:
    return replace(before(layout), normed=(layout.width,) * layout.depth)


def forward(net: Pass, x: Tensor) -> Tensor:
    for i in range(net.layout.depth):
        x = net.drop(i, net.norm(i, net.activate(net.linear(i, x))))
    return net.linear(net.layout.depth, x)
