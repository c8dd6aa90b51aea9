"""Every input twice: behind the real ones a twin of each, whose correlation with it is `amount` per cent.

A twin is its input, weakened, plus the same input with its rows shuffled: mean and variance stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays
from folklore.datasets.views.noise_inputs import shuffled


def view(arrays: Arrays, *, amount: int) -> Arrays:
    alike = amount / 100
    other = math.sqrt(1 - alike**2)
    middle = np.array([math.fsum(c) / len(c) for c in arrays.pool_x.T.astype(np.float64)])
    changed = {}
    for split in ("pool", "val", "test"):
        x = getattr(arrays, f"{split}_x")
        mixed = [shuffled(column, f"{split}/twin/{i}") for i, column in enumerate(x.T)]
        twins = middle + alike * (x - middle) + other * (np.column_stack(mixed) - middle)
        changed[f"{split}_x"] = np.ascontiguousarray(np.column_stack([x, twins]), dtype=np.float32)
    return replace(arrays, **changed)
