"""`amount` percent of the pool's labels drawn anew, evenly from all classes: one in `classes` of them stays right by chance.

A larger share contains a smaller one. Labels of validation and test rows stay as they are (Zhang et al. 2017).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from folklore.datasets.base import Arrays, fixed_order


def view(arrays: Arrays, amount: int) -> Arrays:
    rows = len(arrays.pool_y)
    redrawn = fixed_order(rows, purpose="random_labels/rows")[: round(rows * amount / 100)]
    drawn = fixed_order(rows, purpose="random_labels/labels") % arrays.classes
    labels = arrays.pool_y.copy()
    labels[redrawn] = drawn[redrawn].astype(np.int64)
    return replace(arrays, pool_y=labels)
