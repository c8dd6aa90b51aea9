"""What views share: maps of the inputs of every split, some rows at a time, in double precision; and moments of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays

ROWS = 4096
CONSTANT = 1e-9  # an input that varies less does not vary: its deviation is rounding


def through(arrays: Arrays, change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    """The same arrays with the inputs (N, F) of every split changed, row by row."""
    splits = {name: getattr(arrays, name) for name in ("pool_x", "val_x", "test_x")}
    changed = {
        name: np.concatenate([change(part).astype(np.float32) for part in _parts(x)])
        for name, x in splits.items()
    }
    return replace(arrays, **changed)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (F,) of each input; 1 for the deviation of an input that does not vary."""
    mean = sum(part.sum(axis=0) for part in _parts(x)) / len(x)
    variance = sum(((part - mean) ** 2).sum(axis=0) for part in _parts(x)) / len(x)
    deviation = np.sqrt(variance)
    return mean, np.where(deviation > CONSTANT, deviation, 1.0)


def principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation (F,), and of the standardised inputs' covariance the eigenvalues (F,), largest first, and eigenvectors (F, F).

    The largest entry of an eigenvector is positive: its sign would else be the routine's whim.
    """
    mean, deviation = moments(x)
    covariance = sum(part.T @ part for part in ((p - mean) / deviation for p in _parts(x))) / len(x)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))]
    return mean, deviation, values, vectors * np.sign(largest)


def _parts(x: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in double precision, a few thousand at a time."""
    return (x[start : start + ROWS].astype(np.float64) for start in range(0, len(x), ROWS))
