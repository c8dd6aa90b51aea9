"""Normalisation of pre-activations, one function a level.

(h (R, B, H), gain (R, 1, H), shift (R, 1, H), moments) -> (normalised h, moments of this batch or None).
`moments` is None in training; in evaluation it holds the running (mean, variance), each (R, 1, H).
Adding a level is adding a public function here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from folklore.core import layer_norm
from folklore.core.batch_norm import Moments, evaluated, normalised


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
    cut = amount * max(0, rows // amount - (rows % amount > 0))
    parts = [_in_ghosts(h[:, :cut], gain, shift, amount)] if cut else []
    if cut < rows:
        parts.append(_in_ghosts(h[:, cut:], gain, shift, rows - cut))
    outputs, means, variances = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return outputs, (_mean(means), _mean(variances) * ((rows - 1) / rows))


def _in_ghosts(h: Tensor, gain: Tensor, shift: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (R, B, H) in ghosts of `size`, which divides B: normalised rows, means and unbiased variances (R, ghosts, H)."""
    runs, rows, units = h.shape
    ghosts = rows // size
    folded = h.reshape(runs * ghosts, size, units)
    own_gain, own_shift = (
        number.expand(runs, ghosts, units).reshape(runs * ghosts, 1, units) for number in (gain, shift)
    )
    y, (mean, variance) = batch(folded, own_gain, own_shift, None)
    variance = variance * (size / max(size - 1, 1))
    return y.reshape(runs, rows, units), mean.view(runs, ghosts, units), variance.view(runs, ghosts, units)


def _mean(h: Tensor) -> Tensor:
    """Over the batch. (torch.var_mean over an inner axis takes a hundred times as long as two means: 1,259 us for (32, 32, 100).)"""
    return h.mean(dim=1, keepdim=True)
