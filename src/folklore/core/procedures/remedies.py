"""The rate as someone watches over it: a loss that does not go down raises it, one that explodes lowers it and starts again.

Training is cut into ROUNDS. After each but the last one, the loss of its second half is looked at, beside log C, the loss of a net that knows
nothing: where it is above STUCK log C the rate is multiplied by FACTOR and training goes on; where it is above EXPLODED log C, or not a
number, the rate is divided by FACTOR and the net goes back to its initial weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from folklore.core.training import Stack

ROUNDS, FACTOR, STUCK, EXPLODED = 20, 10.0, 0.9, 2.0
_LARGEST = 1e3  # what is kept of the loss of a round that was taken back


def train(stack: Stack) -> None:
    """Measures: raised and lowered, how often the rate was; last_rate."""
    initial = [tensor.detach().clone() for tensor in stack.parameters.tensors()]
    raised, lowered = np.zeros((2, len(stack.runs)))
    for i in range(ROUNDS):
        first = stack.done
        stack.advance((i + 1) * stack.one.updates // ROUNDS)
        if i == ROUNDS - 1:
            break
        stuck, exploded = diagnosis(stack.losses[first : stack.done], stack.data.classes)
        _take_back(stack, initial, exploded)
        factor = np.where(exploded, 1 / FACTOR, np.where(stuck, FACTOR, 1.0))
        stack.hyper["lr"] = stack.hyper["lr"] * _column(stack, factor.astype(np.float32))
        raised, lowered = raised + stuck, lowered + exploded
    rounds_back = lowered > 0
    settled = np.isfinite(stack.losses[first:]).all(axis=0)
    _cap(stack.losses[:first], rounds_back & settled)
    rate = stack.hyper["lr"].view(-1).double().cpu().numpy()
    stack.measures |= {"raised": raised, "lowered": lowered, "last_rate": rate}


def diagnosis(losses: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the losses (U, R) of a round: which runs are stuck, and which have exploded; none is both."""
    with np.errstate(all="ignore"):
        late = losses[len(losses) // 2 :].astype(np.float64).T.copy().mean(axis=1) / np.log(classes)
    exploded = ~(np.isfinite(losses).all(axis=0) & (late <= EXPLODED))
    return ~exploded & (late > STUCK), exploded


@torch.no_grad()
def _take_back(stack: Stack, initial: list[Tensor], which: np.ndarray) -> None:
    """Initial weights and averages, and an optimizer that remembers nothing, for these runs."""
    back = _column(stack, which)
    for tensor, start in zip(stack.parameters.tensors(), initial, strict=True):
        tensor.copy_(torch.where(back, start, tensor))
    for slots in stack.state:
        for slot in slots:
            slot.masked_fill_(back, 0.0)


def _cap(losses: np.ndarray, which: np.ndarray) -> None:
    """In place: an explosion that was overcome is no divergence of the run."""
    losses[:, which] = np.minimum(np.nan_to_num(losses[:, which], nan=_LARGEST, posinf=_LARGEST), _LARGEST)


def _column(stack: Stack, of_runs: np.ndarray) -> Tensor:
    return torch.from_numpy(of_runs).to(stack.device).view(-1, 1, 1)
