"""Digits: 1,797 handwritten digits of 8x8, inside scikit-learn (Alpaydin & Kaynak 1998). For tests."""

from __future__ import annotations

from collections.abc import Mapping

from folklore.datasets.base import Dataset, Raw, hold_out


def read(contents: Mapping[str, bytes]) -> Raw:
    """Images (N, 64) of intensities 0 to 16."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return hold_out(x, y, test=360, purpose="digits/test")


DATASET = Dataset(
    name="digits",
    classes=10,
    inputs=64,
    validation=237,
    licence="CC BY 4.0, E. Alpaydin, C. Kaynak",
    read=read,
)
