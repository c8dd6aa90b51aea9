"""One more input, the last, that says nothing and has outliers: a real one with its rows shuffled, `amount` times as large in every
twentieth row.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays
from folklore.datasets.views.noise_inputs import shuffled

_EVERY = 20


def view(arrays: Arrays, *, amount: int) -> Arrays:
    changed = {}
    for split in ("pool", "val", "test"):
        x = getattr(arrays, f"{split}_x")
        column = shuffled(x[:, x.shape[1] // 2], f"{split}/spike").copy()
        column[::_EVERY] *= amount
        changed[f"{split}_x"] = np.ascontiguousarray(np.column_stack([x, column]), dtype=np.float32)
    return replace(arrays, **changed)
