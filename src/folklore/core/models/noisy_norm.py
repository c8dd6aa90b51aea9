"""Fully connected, with noise behind the norm: each hidden layer is linear, norm, noise, activation, dropout, in that order.

The noise comes from masks that have sites ("scale", i) and ("shift", i) of shape (R, B or 1, H), see `folklore.core.masks.norm_noise`, and so
in training only. Without such a mask this is the net of `folklore.core.models.mlp`.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.models.mlp import anatomy
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    for i in range(net.layout.depth):
        x = net.drop(i, net.activate(_noisy(net, i, net.norm(i, net.linear(i, x)))))
    return net.linear(net.layout.depth, x)


def _noisy(net: Pass, i: int, h: Tensor) -> Tensor:
    scale, shift = net.factors.get(("scale", i)), net.factors.get(("shift", i))
    return h if scale is None or shift is None else shift + h * scale
