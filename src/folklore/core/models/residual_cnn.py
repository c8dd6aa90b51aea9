"""The convolutional net with identity skips around blocks of two layers; where positions are halved, the skip takes every second one."""

from __future__ import annotations

from torch import Tensor

from folklore.core.models._convolution import activated, anatomy, classified, convolved, stride
from folklore.core.models.residual import joined, opens
from folklore.core.networks import Pass

__all__ = ["anatomy", "forward"]


def forward(net: Pass, x: Tensor) -> Tensor:
    batch, depth, skip = x.shape[1], net.layout.depth, None
    x = x.unsqueeze(-1)
    for i in range(depth):
        h = convolved(net, i, x)
        if opens(i):
            skip = x[:, :, :: stride(depth, i)].flatten(1, 2)
        elif skip is not None:
            h = joined(net, h, skip)
        x = activated(net, i, h, batch)
    return classified(net, x)
