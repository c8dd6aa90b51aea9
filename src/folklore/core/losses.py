"""Losses of a stack, one value a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.compilation import over_runs
from folklore.core.machine_code import LANES
from folklore.core.softmax import cross_entropy_part, scores_part


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch, (R,), of logits (R, B, C) against labels (R, B), as `torch.nn.functional.cross_entropy`."""
    picked = logits.gather(2, y.unsqueeze(2)).squeeze(2)
    return (torch.logsumexp(logits, dim=2) - picked).mean(dim=1)


def cross_entropy_slope(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same losses (R,) and their gradient by the logits (R, B, C): softmax minus one at the label, over B.

    Both from one exponential: less than half the time of `logsumexp` and what autograd derives from it. Of at most LANES classes in float32
    on a processor by vector code, a traced net's too, so that whatever trains a run gives it the same bits.
    """
    if in_registers(logits) and logits.shape[2] <= LANES:
        slopes = logits.clone(memory_format=torch.contiguous_format)
        labels, losses = y.long().contiguous(), logits.new_empty(len(logits))
        _kernel()(*slopes.shape, slopes.data_ptr(), labels.data_ptr(), losses.data_ptr())
        return losses, slopes
    shifted = logits - logits.amax(dim=2, keepdim=True)
    label = y.unsqueeze(2)
    losses = -shifted.gather(2, label)
    weights = shifted.exp_()
    total = weights.sum(dim=2, keepdim=True)
    losses = losses.add_(total.log()).mean(dim=1).squeeze(1)
    softmax = weights.div_(total)
    one = torch.full((1, 1, 1), -1.0, dtype=logits.dtype, device=logits.device).expand_as(label)
    return losses, softmax.scatter_add_(2, label, one).mul_(1 / logits.shape[1])


@cache
def _kernel() -> Callable[..., None]:
    return over_runs(cross_entropy_part())


def scored(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How many rows are right and the mean loss, each (R,), as `correct` and `cross_entropy`; by vector code where the slope is."""
    if in_registers(logits) and logits.shape[2] <= LANES:
        logits, labels = logits.contiguous(), y.long().contiguous()
        losses, right = logits.new_empty(len(logits)), logits.new_empty(len(logits))
        addresses = (t.data_ptr() for t in (logits, labels, losses, right))
        _scores_kernel()(*logits.shape, *addresses)
        return right, losses
    return correct(logits, y), cross_entropy(logits, y)


@cache
def _scores_kernel() -> Callable[..., None]:
    return over_runs(scores_part())


def correct(logits: Tensor, y: Tensor) -> Tensor:
    """Number of rows whose largest logit is the label's, (R,). NaN logits count as wrong."""
    right = (logits.argmax(dim=2) == y) & ~logits.isnan().any(dim=2)
    return right.sum(dim=1)
