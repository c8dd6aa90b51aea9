"""Standardised, then turned to the principal axes of the pool: the inputs are uncorrelated there, their variances differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from folklore.datasets.base import Arrays
from folklore.datasets.views._maps import principal, through


def view(arrays: Arrays) -> Arrays:
    return through(arrays, fitted(arrays.pool_x))


def fitted(pool: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The map (N, F) -> (N, F) that decorrelates these rows, the axis of the largest variance first."""
    mean, deviation, _, vectors = principal(pool)
    return lambda x: ((x - mean) / deviation) @ vectors
