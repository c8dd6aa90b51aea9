"""Convolutions over positions in a row, as products: the windows of KERNEL positions are laid side by side and share one affine map.

Rows are (R, B * positions, channels), so that a norm takes its moments over batch and positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core.networks import Anatomy, Layout, Pass

KERNEL = 3


def stride(depth: int, i: int) -> int:
    """2 in the first two hidden layers and where the second half of the blocks begins (see the residual net), else 1."""
    return 2 if i in (0, 1, 1 + 2 * ((depth - 1) // 4)) else 1


def anatomy(layout: Layout) -> Anatomy:
    """`width` channels in every layer; the output reads the mean over the positions."""
    channels, positions, places = layout.width, layout.inputs, []
    for i in range(layout.depth):
        positions = -(-positions // stride(layout.depth, i))
        places.append((positions, channels))
    incoming = [1] + [channels] * (layout.depth - 1)
    hidden = [(KERNEL * fan_in, channels * layout.pieces) for fan_in in incoming]
    return Anatomy(
        fans=(*hidden, (channels, layout.classes)),
        normed=tuple(fan_out for _, fan_out in hidden),
        dropped=tuple(places),
    )


def convolved(net: Pass, i: int, x: Tensor) -> Tensor:
    """Pre-activations (R, B * positions, channels) of hidden layer i, normalised, from x (R, B, positions, channels)."""
    windows = _Windows.apply(x, stride(net.layout.depth, i))
    return net.norm(i, net.linear(i, windows.flatten(1, 2)))


def activated(net: Pass, i: int, h: Tensor, batch: int) -> Tensor:
    """What hidden layer i passes on, (R, B, positions, channels)."""
    return net.drop(i, net.activate(h)).unflatten(1, (batch, -1))


def classified(net: Pass, x: Tensor) -> Tensor:
    return net.linear(net.layout.depth, x.mean(dim=2))


class _Windows(torch.autograd.Function):
    """(R, B, L, C) to (R, B, L', KERNEL * C), zeros beyond the ends. Autograd's own way through unfold takes several times as long."""

    @staticmethod
    def forward(ctx, x: Tensor, stride: int) -> Tensor:
        ctx.shape, ctx.stride = x.shape, stride
        padded = torch.nn.functional.pad(x, (0, 0, KERNEL // 2, KERNEL // 2))
        return padded.unfold(2, KERNEL, stride).transpose(-1, -2).flatten(-2)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor, None]:
        runs, batch, length, channels = ctx.shape
        found = slopes.new_zeros(runs, batch, length + KERNEL - 1, channels)
        last = ctx.stride * (slopes.shape[2] - 1) + 1
        for k, part in enumerate(slopes.split(channels, dim=-1)):
            found[:, :, k : k + last : ctx.stride] += part
        return found[:, :, KERNEL // 2 : KERNEL // 2 + length], None
