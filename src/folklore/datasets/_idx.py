"""The IDX files that MNIST and the data sets made after it share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from folklore.datasets.base import File, Raw

_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_files(*sums: str) -> tuple[File, ...]:
    """The four files with their sha256, in the order train images, train labels, test images, test labels."""
    return tuple(File(name, sha256) for name, sha256 in zip(_NAMES, sums, strict=True))


def read_idx(contents: Mapping[str, bytes]) -> Raw:
    """Images (N, 784) and labels (N,), uint8."""
    x, y, test_x, test_y = (_array(contents[name]) for name in _NAMES)
    return Raw(x=x.reshape(len(y), -1), y=y, test_x=test_x.reshape(len(test_y), -1), test_y=test_y)


def _array(content: bytes) -> np.ndarray:
    """Bytes after the header: two zeros, the type, the number of axes, then four bytes an axis."""
    axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)
