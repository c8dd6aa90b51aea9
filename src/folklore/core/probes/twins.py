"""Whether the first layer treats two inputs that say the same alike: input `amount` + i is the twin of input i."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from folklore.core.probes.weights import matrices

if TYPE_CHECKING:
    from folklore.core.training import Stack


def measure(stack: Stack, *, amount: int) -> dict[str, np.ndarray]:
    """agreement: 2 a.b / (a.a + b.b) of the twins' weights a and b, all twins together: 1 when they are equal, 0 when one has it all.

    alone: of the pairs of weights from two twins to one unit that are not both zero, the share in which one is exactly zero. zeros:
    share of exact zeros in the first layer.
    """
    first = matrices(stack, 0)
    pairs = [(w[:amount][: len(w) - amount], w[amount : 2 * amount]) for w in first]
    return {
        "agreement": np.array([_agreement(a, b) for a, b in pairs]),
        "alone": np.array([_alone(a, b) for a, b in pairs]),
        "zeros": np.array([np.count_nonzero(w == 0) / w.size for w in first]),
    }


def _agreement(a: np.ndarray, b: np.ndarray) -> float:
    total = np.square(a).sum() + np.square(b).sum()
    return float(2 * (a * b).sum() / total) if total > 0 else 0.0


def _alone(a: np.ndarray, b: np.ndarray) -> float:
    used = (a != 0) | (b != 0)
    return float((used & ((a == 0) | (b == 0))).sum() / max(used.sum(), 1))
