"""Activations, one function a level: pre-activations (R, B, P * H) -> activations (R, B, H).

P, the number of affine pieces that a unit takes the maximum of, is 1 unless a keyword `pieces` says otherwise.
Adding a level is adding a public function here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from folklore.core.pieces import larger

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
    return larger(h) if pieces == 2 else torch.stack(h.chunk(pieces, dim=-1)).amax(0)
