"""Inputs counted from the smallest in the pool, as intensities of an image are: none of its rows is below 0."""

from __future__ import annotations

from folklore.datasets.base import Arrays
from folklore.datasets.views._maps import through


def view(arrays: Arrays) -> Arrays:
    smallest = float(arrays.pool_x.min())
    return through(arrays, lambda x: x - smallest)
