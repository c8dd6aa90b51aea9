"""Train, then remove weights in rounds and train on after each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from folklore.core.training import Stack

Ranks = Callable[["Stack"], list[Tensor]]
ROUNDS, WORSE = 4, 0.01


def train_and_remove(stack: Stack, amount: int, importance: Ranks, *, returns: bool = False) -> None:
    """Half of the updates on the whole net; the others in ROUNDS, at the beginning of each of which the least important weights go.

    amount: percent of each weight matrix that is gone in the end; every round removes the same share of what is left. importance: of
    each weight of each matrix, (R, in, out). returns: a run whose validation accuracy fell by more than WORSE in a round goes back
    to what it was before it, and removes nothing more. Measures: kept (share of the weights), fall (of validation accuracy by the
    last removal, before any training), work (multiply-adds, in updates of the whole net), returned (1 where a run went back).
    """
    updates, runs = stack.one.updates, len(stack.runs)
    sizes = [weight[0].numel() for weight in stack.parameters.weights]
    active, share, work = np.ones(runs, dtype=bool), np.ones(runs), np.full(runs, updates - updates // 2.0)
    fall = np.zeros(runs)
    stack.advance(updates - updates // 2)
    for i in range(1, ROUNDS + 1):
        before, left = _snapshot(stack), (1 - amount / 100) ** (i / ROUNDS)
        accuracy = stack.score("val")[0]
        _remove(stack, importance(stack), left, active)
        share = np.where(active, left, share)
        fall = np.where(active, accuracy - stack.score("val")[0], fall)
        first = stack.done
        stack.advance(updates - updates // 2 + (updates // 2) * i // ROUNDS)
        work += share * (stack.done - first)
        if returns:
            worse = active & (stack.score("val")[0] < accuracy - WORSE)
            _restore(stack, before, worse)
            share = np.where(worse, (1 - amount / 100) ** ((i - 1) / ROUNDS), share)
            active &= ~worse
    kept = sum(n * _share(stack, j) for j, n in enumerate(sizes)) / sum(sizes)
    stack.measures |= {"kept": kept, "fall": fall, "work": work, "returned": (~active).astype(float)}


def magnitudes(stack: Stack) -> list[Tensor]:
    """What matters least is what is smallest (Han et al. 2015)."""
    return [weight.detach().abs() for weight in stack.parameters.weights]


@torch.no_grad()
def _remove(stack: Stack, importance: list[Tensor], left: float, active: np.ndarray) -> None:
    """Keep the share `left` of each matrix's weights in the active runs: the others become zero, and so does what the optimizer knows."""
    chosen = torch.from_numpy(active).to(stack.device).view(-1, 1, 1)
    for i, (weight, worth) in enumerate(zip(stack.parameters.weights, importance, strict=True)):
        flat = worth.reshape(len(worth), -1)
        gone = flat.shape[1] - round(left * flat.shape[1])
        order = flat.argsort(dim=1, stable=True)
        mask = torch.ones_like(flat, dtype=weight.dtype).scatter_(1, order[:, :gone], 0.0).view_as(worth)
        mask = torch.where(chosen, mask, stack.fixed.get(("weight", i), torch.ones_like(mask)))
        stack.fixed["weight", i] = mask
        for tensor in (weight, *stack.state[i]):
            tensor.mul_(mask)


def _snapshot(stack: Stack) -> list[Tensor]:
    tensors = [*stack.parameters.tensors(), *(t for slots in stack.state for t in slots)]
    masks = [stack.fixed.get(("weight", i)) for i in range(len(stack.parameters.weights))]
    kept = [
        torch.ones_like(w) if m is None else m for m, w in zip(masks, stack.parameters.weights, strict=True)
    ]
    return [t.detach().clone() for t in (*tensors, *kept)]


@torch.no_grad()
def _restore(stack: Stack, before: list[Tensor], which: np.ndarray) -> None:
    """Put these runs back."""
    chosen = torch.from_numpy(which).to(stack.device).view(-1, 1, 1)
    tensors = [*stack.parameters.tensors(), *(t for slots in stack.state for t in slots)]
    tensors += [stack.fixed["weight", i] for i in range(len(stack.parameters.weights))]
    for now, then in zip(tensors, before, strict=True):
        now.copy_(torch.where(chosen, then, now))


def _share(stack: Stack, i: int) -> np.ndarray:
    """Of a weight matrix, what is left (R,)."""
    return np.array([own.mean(dtype=torch.float64).item() for own in stack.fixed["weight", i]])
