"""Normalisation of pre-activations, one function a level.

(h (R, B, H), gain (R, 1, H), shift (R, 1, H), moments) -> (normalised h, moments of this batch or None).
`moments` is None in training; in evaluation it holds the running (mean, variance), each (R, 1, H).
Adding a level is adding a public function here.
"""

from __future__ import annotations

import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor]
_EPS = 1e-5


def none(h: Tensor, gain: Tensor | None, shift: Tensor | None, moments: Moments | None) -> tuple[Tensor, None]:
    """No normalisation, and no parameters for it."""
    return h, None


def batch(h: Tensor, gain: Tensor, shift: Tensor, moments: Moments | None) -> tuple[Tensor, Moments]:
    """Batch normalisation (Ioffe & Szegedy 2015, algorithms 1 and 2), eps 1e-5 inside the root."""
    if moments is None:
        variance, mean = torch.var_mean(h, dim=1, correction=0, keepdim=True)
    else:
        mean, variance = moments
    return torch.addcmul(shift, (h - mean) * torch.rsqrt(variance + _EPS), gain), (mean, variance)

