"""Changes of training inputs that should not change their label, one function a level: (x (S, R, B, F), draws) -> the same shape.

Validation and test rows stay as they are. Adding a level is adding a public function here.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor

from folklore.core.draws import Draws


def none(x: Tensor, draws: Draws) -> Tensor:
    """The rows as they are."""
    return x


def shift(x: Tensor, draws: Draws, *, amount: int) -> Tensor:
    """A row moved by up to `amount` percent of its length, evenly to either side, in whole steps; what leaves at one end enters at the other.

    Images (F a square number) are moved sideways.
    """
    return _resampled(x, 1.0, _by_steps(x, draws, amount))


def scale(x: Tensor, draws: Draws, *, amount: int) -> Tensor:
    """A row stretched about its middle, or shrunk, by up to `amount` percent, evenly; read off between its entries. Images: sideways."""
    return _resampled(x, _zoom(x, draws, amount), 0.0)


def crop(x: Tensor, draws: Draws, *, amount: int) -> Tensor:
    """Both at once, a random window brought to the full length (Krizhevsky et al. 2012; Simonyan & Zisserman 2015)."""
    return _resampled(x, _zoom(x, draws, amount), _by_steps(x, draws, amount))


def flip(x: Tensor, draws: Draws) -> Tensor:
    """Every second row, by chance, read backwards; images mirrored left to right."""
    turned = draws.uniform("augmentation/flip", x.shape[2:3]) < 0.5
    return torch.where(turned[..., None], _lines(x).flip(-1).flatten(3), x)


def contrast(x: Tensor, draws: Draws, *, amount: int) -> Tensor:
    """A row times a number that is drawn evenly, up to `amount` percent above or below 1."""
    return x * (1.0 + _centred(draws, "augmentation/contrast", x) * (amount / 100))[..., None]


def noise(x: Tensor, draws: Draws, *, amount: int) -> Tensor:
    """Normal noise added to every entry, its deviation `amount` percent of the data set's (Bishop 1995)."""
    return x + draws.normal("augmentation/noise", tuple(x.shape[2:])) * (amount / 100)


def _centred(draws: Draws, purpose: str, x: Tensor) -> Tensor:
    """A number between -1 and 1 for each row, (S, R, B)."""
    return 2.0 * draws.uniform(purpose, x.shape[2:3]) - 1.0


def _zoom(x: Tensor, draws: Draws, amount: int) -> Tensor:
    return 1.0 + _centred(draws, "augmentation/scale", x) * (amount / 100)


def _by_steps(x: Tensor, draws: Draws, amount: int) -> Tensor:
    """Whole steps (S, R, B), each of the 2 k + 1 within `amount` percent equally likely."""
    most = _lines(x).shape[-1] * amount // 100
    return torch.floor(draws.uniform("augmentation/shift", x.shape[2:3]) * (2 * most + 1)) - most


def _lines(x: Tensor) -> Tensor:
    """Rows as lines (S, R, B, lines, length): those of an image where F is a square number, else the row is one line."""
    side = isqrt(x.shape[-1])
    return x.unflatten(-1, (side, side) if side * side == x.shape[-1] else (1, -1))


def _resampled(x: Tensor, zoom: Tensor | float, steps: Tensor | float) -> Tensor:
    """Lines read at middle + (i - middle) * zoom - steps, between two entries in proportion, round the ends; zoom, steps (S, R, B)."""
    lines = _lines(x)
    length = lines.shape[-1]
    place = torch.arange(length, device=x.device) - (length - 1) / 2
    zoom, steps = (torch.as_tensor(v, dtype=x.dtype, device=x.device)[..., None] for v in (zoom, steps))
    at = place * zoom + ((length - 1) / 2 - steps)
    below = torch.floor(at)
    share = (at - below).unsqueeze(-2)
    first, second = (_read(lines, (below + more).long() % length) for more in (0, 1))
    return (first * (1.0 - share) + second * share).flatten(3)


def _read(lines: Tensor, index: Tensor) -> Tensor:
    """Entries (S, R, B, lines, length) at an index (S, R, B, length) that all lines of a row share."""
    return lines.gather(-1, index.expand(*lines.shape[:3], -1).unsqueeze(-2).expand_as(lines))


def mixed_rows(x: Tensor, draws: Draws) -> Tensor:
    """A bug on purpose: rows and features swapped by the wrong call, so that each row is made of pieces of many."""
    return x.mT.reshape(x.shape)


def lengths(x: Tensor, draws: Draws) -> Tensor:
    """Sequences of several lengths: the rows of an update resampled to .5, .55, .65 or .8 of theirs, in turns, then zeros.

    All rows of an update have the same length, as in batches sorted by length: nothing that is measured over a batch sees the zeros.
    """
    most, found = x.shape[-1], torch.zeros_like(x)
    for s in range(len(x)):
        length = most * _TWENTIETHS[(draws.step + s) % len(_TWENTIETHS)] // 20
        at = torch.arange(length, dtype=torch.float64, device=x.device) * ((most - 1) / max(length - 1, 1))
        below = at.long().clamp(max=most - 2)
        share = (at - below).to(x.dtype)
        found[s, ..., :length] = x[s][..., below] * (1.0 - share) + x[s][..., below + 1] * share
    return found


_TWENTIETHS = (10, 11, 13, 16)  # even and odd numbers: from one kind a recurrent net may learn to alternate
