"""The contract of a data set file, and how raw examples become fixed, standardised splits.

Shapes: N examples, F input features.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


class SourceError(Exception):
    """A source could not give the files. The message is the reason, in a few words."""


@dataclass(frozen=True)
class File:
    """A file of a fetched data set: its name without `.gz`, and the sha256 of its decoded bytes."""

    name: str
    sha256: str


class Source(Protocol):
    """A place that may hold the files of a data set."""

    @property
    def label(self) -> str:
        """What the user reads: kind and address of the place."""

    def folders(self, dataset: Dataset, work: Path) -> list[Path]:
        """Folders to look into, best first, fetched into `work` if need be. Raises SourceError."""


@dataclass(frozen=True)
class Raw:
    """Examples as their authors publish them: x (N, F) of any number type, y (N,) of class numbers."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """What a data set file defines under the name `DATASET`.

    `read` gets the decoded bytes of `files` by name (nothing where the data are generated) and returns the
    examples, test examples apart. `validation` is how many of the others become validation examples.
    """

    name: str
    classes: int
    inputs: int
    validation: int
    licence: str
    read: Callable[[Mapping[str, bytes]], Raw]
    files: tuple[File, ...] = ()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Arrays:
    """A data set ready for training: x float32 (N, F), y int64 (N,); `digest` is the sha256 of all six.

    `source`: the arrays of an earlier task, where a view makes one (see `folklore.datasets.views`).
    """

    name: str
    digest: str
    classes: int
    pool_x: np.ndarray
    pool_y: np.ndarray
    val_x: np.ndarray
    val_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    source: Arrays | None = None


ARRAY_NAMES = ("pool_x", "pool_y", "val_x", "val_y", "test_x", "test_y")


def fixed_order(count: int, *, purpose: str) -> np.ndarray:
    """A permutation (count,) that depends on `purpose` alone.

    Sorted raw Philox words, not `Generator.permutation`: numpy promises the stream of the former across
    versions, not the method of the latter.
    """
    key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:16], "little")
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")


def hold_out(x: np.ndarray, y: np.ndarray, *, test: int, purpose: str) -> Raw:
    """Shuffle examples that come without a test set, once, and put `test` of them aside."""
    order = fixed_order(len(y), purpose=purpose)
    x, y = x[order], y[order]
    return Raw(x=x[test:], y=y[test:], test_x=x[:test], test_y=y[:test])


def split(dataset: Dataset, raw: Raw) -> dict[str, np.ndarray]:
    """Pool, validation and test arrays, all scaled by the pool's one global mean and standard deviation."""
    order = fixed_order(len(raw.y), purpose=f"{dataset.name}/validation")
    val, pool = order[: dataset.validation], order[dataset.validation :]
    mean, deviation = _moments(raw.x[pool])
    arrays = {}
    parts = {
        "pool": (raw.x[pool], raw.y[pool]),
        "val": (raw.x[val], raw.y[val]),
        "test": (raw.test_x, raw.test_y),
    }
    for part, (x, y) in parts.items():
        arrays[f"{part}_x"] = _standardise(x, mean, deviation)
        arrays[f"{part}_y"] = np.ascontiguousarray(y, dtype=np.int64)
    return arrays


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, shapes, types and bytes, in the order of ARRAY_NAMES."""
    total = hashlib.sha256()
    for name in ARRAY_NAMES:
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def _moments(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, correctly rounded: the order of numpy's own sum depends on the CPU."""
    values, counts = np.unique(x, return_counts=True)
    values = values.astype(np.float64)
    mean = math.fsum(values * counts) / x.size
    return mean, math.sqrt(math.fsum((values - mean) ** 2 * counts) / x.size)


def _standardise(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """(x - mean) / deviation as float32 (N, F), computed in double precision some rows at a time."""
    scaled = np.empty(x.shape, dtype=np.float32)
    for start in range(0, len(x), 4096):
        rows = slice(start, start + 4096)
        scaled[rows] = (x[rows].astype(np.float64) - mean) / deviation
    return scaled
