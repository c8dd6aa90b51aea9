"""The data set as it is."""

from __future__ import annotations

from folklore.datasets.base import Arrays


def view(arrays: Arrays) -> Arrays:
    return arrays
