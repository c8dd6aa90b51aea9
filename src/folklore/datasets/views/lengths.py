"""Rows as sequences of several lengths, resampled and then filled up with zeros: what the augmentation `lengths` trains on.

Validation rows take turns in the lengths of training, test rows in lengths that training never sees: shorter, between and longer ones.
The pool is left as it is. `source` has the same test rows in the lengths of training.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays

TRAINED = (10, 11, 13, 16)  # twentieths of a row, as in folklore.core.augmentations.lengths
OTHERS = (8, 9, 12, 14, 15, 17, 18, 20)


def view(arrays: Arrays) -> Arrays:
    val, known, new = (
        _in_turns(x, twentieths)
        for x, twentieths in ((arrays.val_x, TRAINED), (arrays.test_x, TRAINED), (arrays.test_x, OTHERS))
    )
    return replace(arrays, val_x=val, test_x=new, source=replace(arrays, val_x=val, test_x=known))


def _in_turns(x: np.ndarray, twentieths: tuple[int, ...]) -> np.ndarray:
    """Rows (N, F), each in one of the lengths, one after the other."""
    turned = np.zeros_like(x)
    for i, share in enumerate(twentieths):
        length = x.shape[1] * share // 20
        turned[i :: len(twentieths), :length] = _resampled(x[i :: len(twentieths)], length)
    return turned


def _resampled(x: np.ndarray, length: int) -> np.ndarray:
    """Rows (N, F) read at `length` places from the first entry to the last, between two entries in proportion."""
    at = np.arange(length) * ((x.shape[1] - 1) / max(length - 1, 1))
    below = np.minimum(at.astype(int), x.shape[1] - 2)
    share = at - below
    return x[:, below] * (1.0 - share) + x[:, below + 1] * share
