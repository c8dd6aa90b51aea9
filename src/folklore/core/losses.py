"""Losses of a stack, one value a run."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch, (R,), of logits (R, B, C) against labels (R, B), as `torch.nn.functional.cross_entropy`."""
    picked = logits.gather(2, y.unsqueeze(2)).squeeze(2)
    return (torch.logsumexp(logits, dim=2) - picked).mean(dim=1)


def correct(logits: Tensor, y: Tensor) -> Tensor:
    """Number of rows whose largest logit is the label's, (R,). NaN logits count as wrong."""
    right = (logits.argmax(dim=2) == y) & ~logits.isnan().any(dim=2)
    return right.sum(dim=1)
