"""Inputs that say nothing, `amount` of them, behind the real ones: each is a real input with its rows shuffled.

So it has the distribution of a real input and knows neither the label nor the rest of the row.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays, fixed_order


def view(arrays: Arrays, *, amount: int) -> Arrays:
    changed = {}
    for split in ("pool", "val", "test"):
        x = getattr(arrays, f"{split}_x")
        noise = [shuffled(x[:, i % x.shape[1]], f"{split}/{i}") for i in range(amount)]
        changed[f"{split}_x"] = np.ascontiguousarray(np.column_stack([x, *noise]), dtype=np.float32)
    return replace(arrays, **changed)


def shuffled(column: np.ndarray, purpose: str) -> np.ndarray:
    """The values of a column in another order, which depends on `purpose` alone."""
    return column[fixed_order(len(column), purpose=f"noise_inputs/{purpose}")]
