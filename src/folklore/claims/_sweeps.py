"""What claims about searches share: a sweep of rates, replicate by replicate, from which they choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Sweep:
    """replicates (n,), rates (k,) upwards, accuracies on validation and test rows (n, k), of each replicate whether all of it diverged (n,),
    and at which end of the grid the best rate was, if at one."""

    replicates: np.ndarray
    rates: np.ndarray
    val: np.ndarray
    test: np.ndarray
    dead: np.ndarray
    edge: str


def sweep(runs: pd.DataFrame) -> Sweep:
    """Of runs that differ in their rate and their replicate alone."""
    val, test = (
        runs.pivot_table(index="replicate", columns="lr", values=v) for v in ("val_accuracy", "test_accuracy")
    )
    dead = (runs["status"] == "diverged").groupby(runs["replicate"]).all()
    return Sweep(
        val.index.to_numpy(),
        val.columns.to_numpy(dtype=float),
        val.to_numpy(dtype=float),
        test.to_numpy(dtype=float),
        dead[val.index].to_numpy(),
        max(runs["edge"]),
    )
