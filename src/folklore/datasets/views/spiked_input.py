"""One more input, the last, that sticks out and says nothing: a real one with its rows shuffled, `amount` times as large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays
from folklore.datasets.views.noise_inputs import shuffled


def view(arrays: Arrays, *, amount: int) -> Arrays:
    changed = {}
    for split in ("pool", "val", "test"):
        x = getattr(arrays, f"{split}_x")
        spike = amount * shuffled(x[:, x.shape[1] // 2], f"{split}/spike")
        changed[f"{split}_x"] = np.ascontiguousarray(np.column_stack([x, spike]), dtype=np.float32)
    return replace(arrays, **changed)
