"""What the first layer makes of some inputs, those from number `amount` (counted from 0) on: the marked ones.

An input is off when all of its weights are exactly zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from folklore.core.probes.weights import matrices

if TYPE_CHECKING:
    from folklore.core.training import Stack

_ROWS = 1024


def measure(stack: Stack, *, amount: int) -> dict[str, np.ndarray]:
    """Of the marked inputs: share of squared weight, and of the squared signal that the units get from training rows.

    `found`: how often a marked input has less weight than another one (ties count half): 1 when they can be told apart. `dropped`: share
    of the marked inputs that are off; `kept`: share of the others that are not; `zeros`: share of exact zeros among all weights.
    """
    rows, _ = stack.training_rows(_ROWS)
    power = np.square(rows.cpu().double().numpy()).mean(axis=1)
    weight = np.stack([np.square(w).sum(axis=1) for w in matrices(stack, 0)])
    on = np.stack([(w != 0).any(axis=1) for w in matrices(stack, 0)])
    every = [matrices(stack, i) for i in range(len(stack.parameters.weights))]
    zeros = [[np.count_nonzero(w == 0) / w.size for w in run] for run in zip(*every, strict=True)]
    sizes = [w[0].size for w in every]
    return {
        "weight_share": _share(weight, amount),
        "signal_share": _share(weight * power, amount),
        "found": np.array([_less(w[amount:], w[:amount]) for w in weight]),
        "dropped": 1 - on[:, amount:].mean(axis=1),
        "kept": on[:, :amount].mean(axis=1),
        "zeros": np.array(zeros) @ np.array(sizes) / sum(sizes),
    }


def _share(of_inputs: np.ndarray, first: int) -> np.ndarray:
    """Share (R,) of the inputs from `first` on in the sum over all, (R, in); 0 where there is nothing."""
    total = of_inputs.sum(axis=1)
    return of_inputs[:, first:].sum(axis=1) / np.where(total > 0, total, 1.0)


def _less(these: np.ndarray, those: np.ndarray) -> float:
    """Share of pairs in which the one of `these` is less, ties counted half."""
    apart = np.sign(those[None, :] - these[:, None])
    return float((1 + apart.mean()) / 2)
