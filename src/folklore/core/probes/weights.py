"""How large the weights are, and how many of them are exactly zero. Biases do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from folklore.core.training import Stack


def measure(stack: Stack) -> dict[str, np.ndarray]:
    """Norms of all weights together, of the first matrix and of the last; share of exact zeros among all weights."""
    layers = [matrices(stack, i) for i in range(len(stack.parameters.weights))]
    squares = np.stack([[np.square(w).sum() for w in layer] for layer in layers])
    zeros = np.stack([[np.count_nonzero(w == 0) for w in layer] for layer in layers])
    return {
        "norm": np.sqrt(squares.sum(axis=0)),
        "norm_first": np.sqrt(squares[0]),
        "norm_last": np.sqrt(squares[-1]),
        "zeros": zeros.sum(axis=0) / sum(layer[0].size for layer in layers),
    }


def matrices(stack: Stack, layer: int) -> list[np.ndarray]:
    """Weights (in, out) of a layer, float64: a matrix a run, so that each is summed up as it would be alone."""
    weights = stack.parameters.weights[layer].detach().cpu().double().numpy()
    return [np.ascontiguousarray(w) for w in weights]
