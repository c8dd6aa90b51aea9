"""Inputs on different scales: factors spread evenly in the logarithm from 1 to `amount`, over the inputs in a fixed random order.

All are divided by the root mean square of the factors: what is left is that the scales differ, not that they are large, which a smaller
learning rate would mend.
"""

from __future__ import annotations

import numpy as np

from folklore.datasets.base import Arrays, fixed_order
from folklore.datasets.views._maps import through


def view(arrays: Arrays, amount: int) -> Arrays:
    factors = factors_of(arrays.pool_x.shape[1], amount)
    return through(arrays, lambda x: x * factors)


def factors_of(inputs: int, amount: int) -> np.ndarray:
    """(F,), the largest `amount` times the smallest, root mean square 1."""
    spread = float(amount) ** (fixed_order(inputs, purpose="scaled_inputs") / max(inputs - 1, 1))
    return spread / np.sqrt((spread**2).mean())
