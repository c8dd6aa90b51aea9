"""Scores and gradients of a stack, outside training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from folklore.core.losses import correct, cross_entropy
from folklore.core.networks import Layout, Parameters, forward

CHUNK_ROWS = 512  # scored at once; the same for every stack: sums that are cut by its width would depend on the neighbours


@torch.no_grad()
def scores(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean cross-entropy, each (R,), of every run on the same rows x (N, F), y (N,), in evaluation mode."""
    runs = len(parameters.weights[0])
    right = torch.zeros(runs, dtype=torch.int64, device=x.device)
    loss = torch.zeros(runs, dtype=torch.float64, device=x.device)
    for part_x, part_y in zip(x.split(CHUNK_ROWS), y.split(CHUNK_ROWS), strict=True):
        shared_x, shared_y = part_x.expand(runs, -1, -1), part_y.expand(runs, -1)
        logits = forward(layout, parameters, shared_x)
        right += correct(logits, shared_y)
        loss += cross_entropy(logits, shared_y).double() * len(part_x)
    return (right.double() / len(x)).cpu().numpy(), (loss / len(x)).cpu().numpy()


def gradient_norms(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor) -> np.ndarray:
    """Euclidean norm (R, layers) of the loss's gradient by each weight matrix, first layer first, on x (R, B, F) without dropout."""
    logits = forward(layout, parameters, x, training=True)
    loss = cross_entropy(logits, y).sum()  # the runs share no parameter, so the sum's gradients never mix
    gradients = torch.autograd.grad(loss, parameters.weights)
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients], dim=1).detach().cpu().numpy()
