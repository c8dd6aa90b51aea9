"""Normalisation of pre-activations, one function a level.

(h (R, B, H), gain (R, 1, H), shift (R, 1, H), moments) -> (normalised h, moments of this batch or None).
`moments` is None in training; in evaluation it holds the running (mean, variance), each (R, 1, H).
Adding a level is adding a public function here.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor

from folklore.core import ghosts, layer_norm
from folklore.core.affine import total
from folklore.core.batch_norm import Moments, evaluated, normalised

# of these evaluation takes nothing from training
WITHOUT_MOMENTS = ("none", "layer")


def none(
    h: Tensor, gain: Tensor | None, shift: Tensor | None, moments: Moments | None
) -> tuple[Tensor, None]:
    """No normalisation, and no parameters for it."""
    return h, None


def batch(h: Tensor, gain: Tensor, shift: Tensor, moments: Moments | None) -> tuple[Tensor, Moments]:
    """Batch normalisation (Ioffe & Szegedy 2015, algorithms 1 and 2), eps 1e-5 inside the root."""
    if moments is not None:
        return evaluated(h, gain, shift, moments), moments
    y, *own = normalised(h, gain, shift)
    return y, tuple(own)


def layer(h: Tensor, gain: Tensor, shift: Tensor, moments: Moments | None) -> tuple[Tensor, None]:
    """Layer normalisation (Ba et al. 2016): each row by the moments of its own units, so there is nothing to keep for evaluation."""
    return layer_norm.normalised(h, gain, shift), None


def ghost(
    h: Tensor, gain: Tensor, shift: Tensor, moments: Moments | None, *, amount: int
) -> tuple[Tensor, Moments]:
    """Batch normalisation of ghosts, parts of `amount` rows of a batch, each by itself (Hoffer et al. 2017); the last takes the rows left over.

    For evaluation: the mean over the ghosts of their means and of their unbiased variances, times (B - 1) / B for whoever corrects it.
    """
    if moments is not None:
        return batch(h, gain, shift, moments)
    rows = h.shape[1]
    alike = [(size, size * len(list(group))) for size, group in groupby(ghosts.sizes(rows, amount))]
    blocks = h.split([together for _, together in alike], dim=1)
    parts = [_in_ghosts(block, gain, shift, size) for block, (size, _) in zip(blocks, alike, strict=True)]
    outputs, means, variances = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return outputs, (_mean(means), _mean(variances) * ((rows - 1) / rows))


def _in_ghosts(h: Tensor, gain: Tensor, shift: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (R, B, H) in ghosts of `size`, which divides B: normalised rows, means and unbiased variances (R, ghosts, H)."""
    runs, rows, units = h.shape
    count = rows // size
    folded = h.reshape(runs * count, size, units)
    own_gain, own_shift = (_OfGhosts.apply(number, count) for number in (gain, shift))
    y, (mean, variance) = batch(folded, own_gain, own_shift, None)
    variance = variance * ghosts.unbiased(size)
    return y.reshape(runs, rows, units), mean.view(runs, count, units), variance.view(runs, count, units)


def _mean(h: Tensor) -> Tensor:
    """Over the batch, added in order."""
    return total(h) / h.shape[1]


class _OfGhosts(torch.autograd.Function):
    """A row (R, 1, H) for so many ghosts of each run, (R * ghosts, 1, H); their gradients are added in order."""

    @staticmethod
    def forward(ctx, row: Tensor, ghosts: int) -> Tensor:
        runs, _, units = row.shape
        ctx.shape = runs, ghosts, units
        return row.expand(ctx.shape).reshape(runs * ghosts, 1, units)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor, None]:
        return total(slopes.reshape(ctx.shape)), None
