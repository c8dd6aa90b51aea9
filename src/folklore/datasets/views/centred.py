"""Every input less its mean over the pool; their scales stay as they are."""

from __future__ import annotations

from folklore.datasets.base import Arrays
from folklore.datasets.views._maps import moments, through


def view(arrays: Arrays) -> Arrays:
    mean, _ = moments(arrays.pool_x)
    return through(arrays, lambda x: x - mean)
