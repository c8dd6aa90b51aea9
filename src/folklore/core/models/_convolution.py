"""Convolutions over positions in a row, as products: the windows of KERNEL positions are laid side by side and share one affine map.

Rows are (R, B * positions, channels), so that a norm takes its moments over batch and positions.
"""

from __future__ import annotations

from torch import Tensor

from folklore.core.networks import Anatomy, Layout, Pass
from folklore.core.positions import KERNEL, halved


def stride(depth: int, i: int) -> int:
    """2 in the first two hidden layers and where the second half of the blocks begins (see the residual net), else 1."""
    return 2 if i in (0, 1, 1 + 2 * ((depth - 1) // 4)) else 1


def lengths(layout: Layout) -> list[int]:
    """Positions of the inputs, and behind every hidden layer."""
    found = [layout.inputs]
    for i in range(layout.depth):
        found.append(halved(found[-1], stride(layout.depth, i)))
    return found


def anatomy(layout: Layout) -> Anatomy:
    """`width` channels in every layer; the output reads the mean over the positions."""
    channels = layout.width
    incoming = [1] + [channels] * (layout.depth - 1)
    hidden = [(KERNEL * fan_in, channels * layout.pieces) for fan_in in incoming]
    return Anatomy(
        fans=(*hidden, (channels, layout.classes)),
        normed=tuple(fan_out for _, fan_out in hidden),
        dropped=tuple((positions, channels) for positions in lengths(layout)[1:]),
    )


def convolved(net: Pass, i: int, h: Tensor) -> Tensor:
    """Pre-activations of hidden layer i, normalised."""
    layout = net.layout
    windows = net.windows(h, lengths(layout)[i], stride(layout.depth, i))
    return net.norm(i, net.linear(i, windows))


def classified(net: Pass, h: Tensor) -> Tensor:
    return net.linear(net.layout.depth, net.mean(h, lengths(net.layout)[-1]))
