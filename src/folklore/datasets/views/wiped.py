"""A bug on purpose: inputs arrive as zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays


def view(arrays: Arrays) -> Arrays:
    wiped = {name: np.zeros_like(getattr(arrays, name)) for name in ("pool_x", "val_x", "test_x")}
    return replace(arrays, **wiped)
