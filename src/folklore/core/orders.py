"""The order in which a run sees its training rows, one function a level: (seed, labels (N,), epoch) -> positions (N,).

Adding a level is adding a public function here.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from folklore.core.randomness import permutation


def reshuffled(seed: int, labels: Tensor, epoch: int) -> np.ndarray:
    """A new random order every epoch."""
    return permutation(seed, "order", len(labels), epoch)


def once(seed: int, labels: Tensor, epoch: int) -> np.ndarray:
    """One random order, the same in every epoch: the first that `reshuffled` has."""
    return permutation(seed, "order", len(labels), 0)


def sorted_by_class(seed: int, labels: Tensor, epoch: int) -> np.ndarray:
    """Class after class, the same in every epoch, as a file may hold them; in a random order within a class."""
    order = once(seed, labels, epoch)
    return order[np.argsort(labels.cpu().numpy()[order], kind="stable")]
