"""How much the training loss changes when every weight is changed a little: multiplied by 1 + `amount` percent of a normal number.

The noise is relative, hence of equal size for large and small weights, and biases have none. DRAWS perturbations are drawn by the
run's own seed, the same ones for every arm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from folklore.core.losses import correct, cross_entropy
from folklore.core.networks import Parameters, forward
from folklore.core.randomness import generator

if TYPE_CHECKING:
    from folklore.core.training import Stack

DRAWS, ROWS = 16, 512


@torch.no_grad()
def measure(stack: Stack, *, amount: int) -> dict[str, np.ndarray]:
    x, y = stack.training_rows(ROWS)

    def scores(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
        logits = forward(stack.layout, parameters, x)
        accuracy = correct(logits, y).double() / y.shape[1]
        return cross_entropy(logits, y).double().cpu().numpy(), accuracy.cpu().numpy()

    loss, accuracy = scores(stack.parameters)
    found = [scores(_perturbed(stack, draw, amount / 100)) for draw in range(DRAWS)]
    # draws last: numpy adds along the last axis in one and the same order, however many runs there are
    losses, accuracies = (np.stack(values, axis=1) for values in zip(*found, strict=True))
    return {
        "loss_change": np.sqrt(((losses - loss[:, None]) ** 2).mean(axis=1)),
        "accuracy_lost": accuracy - accuracies.mean(axis=1),
        "loss_unchanged": loss,
    }


def _perturbed(stack: Stack, draw: int, size: float) -> Parameters:
    """The parameters with every weight matrix changed, each run by its own numbers."""
    weights = []
    for layer, weight in enumerate(stack.parameters.weights):
        drawn = [_normal(run.seed, draw, layer, weight.shape[1:]) for run in stack.runs]
        factor = 1.0 + size * torch.from_numpy(np.stack(drawn)).to(stack.device)
        weights.append(weight * factor)
    return replace(stack.parameters, weights=weights)


def _normal(seed: int, draw: int, layer: int, shape: torch.Size) -> np.ndarray:
    numbers = generator(seed, f"weight_noise/{draw}/{layer}").standard_normal(tuple(shape))
    return numbers.astype(np.float32)
