"""Standardised, turned to the principal axes of the pool, and given the same variance along each of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from folklore.datasets.base import Arrays
from folklore.datasets.views._maps import principal, through

RIDGE = 1e-5  # added to the variances, which are 1 on average, lest an axis without variance be blown up


def view(arrays: Arrays) -> Arrays:
    return through(arrays, fitted(arrays.pool_x))


def fitted(pool: np.ndarray, ridge: float = RIDGE) -> Callable[[np.ndarray], np.ndarray]:
    """The map (N, F) -> (N, F) under which the covariance of these rows is the identity, but for the ridge."""
    mean, deviation, variances, vectors = principal(pool)
    scaled = vectors / np.sqrt(variances + ridge)
    return lambda x: ((x - mean) / deviation) @ scaled
