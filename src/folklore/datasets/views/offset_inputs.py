"""Inputs off centre: `amount` added to each, in units of the data set's standard deviation."""

from __future__ import annotations

from folklore.datasets.base import Arrays
from folklore.datasets.views._maps import through


def view(arrays: Arrays, amount: int) -> Arrays:
    return through(arrays, lambda x: x + amount)
