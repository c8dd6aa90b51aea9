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
