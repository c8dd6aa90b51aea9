"""The work that all contestants are given: nets, batch sizes, data of the right shape."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from folklore.grid import Run

ROWS, CLASSES = 4096, 10
INPUTS = {"mnist1d": 40, "mnist": 784}  # the numbers in them do not matter to the clock
RATE = 0.005
NETS = {
    "SGD": Run(lr=RATE),
    "BN, momentum": Run(lr=RATE, norm="batch", optimizer="momentum"),
    "SGD, 784 inputs": Run(lr=RATE, data="mnist"),
}


def synthetic(run: Run) -> SimpleNamespace:
    """Random inputs and labels, float32 (ROWS, inputs); validation is kept so small that it does not count."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, INPUTS[run.data]), dtype=np.float32)
    y = rng.integers(0, CLASSES, ROWS)
    return SimpleNamespace(
        classes=CLASSES, pool_x=x, pool_y=y, val_x=x[:16], val_y=y[:16], test_x=x[:16], test_y=y[:16]
    )


def widths(run: Run) -> list[int]:
    """Units of every layer, inputs first."""
    return [INPUTS[run.data], *[run.width] * run.depth, CLASSES]


def operations(run: Run) -> int:
    """Multiplications and additions of one update's matrix products: forward, backward to the weights, and to the inputs of all
    layers but the first."""
    products = [a * b for a, b in pairwise(widths(run))]
    return 2 * run.batch_size * (3 * sum(products) - products[0])
