"""Fully connected: each hidden layer is linear, norm, activation, dropout, in that order; there is no dropout on the input."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from folklore.core.networks import Anatomy, Layout, Pass


def anatomy(layout: Layout) -> Anatomy:
    widths = [layout.inputs] + [layout.width] * layout.depth
    hidden = [(a, b * layout.pieces) for a, b in pairwise(widths)]
    return Anatomy(
        fans=(*hidden, (widths[-1], layout.classes)),
        normed=tuple(fan_out for _, fan_out in hidden),
        dropped=((1, layout.width),) * layout.depth,
    )


def forward(net: Pass, x: Tensor) -> Tensor:
    for i in range(net.layout.depth):
        x = net.hidden(i, x)
    return net.linear(net.layout.depth, x)
