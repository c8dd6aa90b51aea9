"""Activations, one function a level: pre-activations (R, B, P * H) -> activations (R, B, H).

P, the number of affine pieces that a unit takes the maximum of, is 1 unless a keyword `pieces` says otherwise.
Adding a level is adding a public function here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEAK = 0.01


def sigmoid(h: Tensor) -> Tensor:
    return torch.sigmoid(h)


def centred_sigmoid(h: Tensor) -> Tensor:
    """sigmoid(h) - 1/2: the same slope with outputs around 0, as LeCun et al. 1998, section 4.4, ask of a sigmoid."""
    return torch.sigmoid(h) - 0.5


def tanh(h: Tensor) -> Tensor:
    return torch.tanh(h)


def relu(h: Tensor) -> Tensor:
    return torch.relu(h)


def leaky_relu(h: Tensor) -> Tensor:
    """Slope .01 below zero (Maas et al. 2013)."""
    return functional.leaky_relu(h, _LEAK)


def elu(h: Tensor) -> Tensor:
    """alpha = 1 (Clevert et al. 2016)."""
    return functional.elu(h)


def softplus(h: Tensor) -> Tensor:
    return functional.softplus(h)


def maxout(h: Tensor, *, pieces: int = 2) -> Tensor:
    """The largest of `pieces` affine maps (Goodfellow et al. 2013); a piece is a contiguous part of the last axis."""
    return _LargerOfTwo.apply(h) if pieces == 2 else torch.stack(h.chunk(pieces, dim=-1)).amax(0)


class _LargerOfTwo(torch.autograd.Function):
    """torch.maximum of the halves of the last axis, and its gradient (shared equally by equals), in a third of the time."""

    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        first, second = h.chunk(2, dim=-1)
        ctx.save_for_backward((first - second).sign_().add_(1).mul_(0.5))  # 1, 1/2 or 0
        return torch.maximum(first, second)

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        first = slope * share
        return torch.cat([first, slope - first], dim=-1)
