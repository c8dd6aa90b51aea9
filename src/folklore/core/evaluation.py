"""Scores and gradients of a stack, outside training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.blocks import Block
from folklore.core.calls import Calls, Matrix, of_update
from folklore.core.losses import scored
from folklore.core.making import unrecorded
from folklore.core.networks import Layout, Parameters, forward
from folklore.core.softmax import scores_part
from folklore.core.sources import Given
from folklore.core.steps import HYPER, Rule, optimizer_state
from folklore.core.traced_passes import TracedPass
from folklore.core.traced_updates import steps_of
from folklore.core.traces import Trace, trace_of_pass

# scored at once, so that what is between layers stays in the cache; the same for every stack: sums that are cut by its width would depend on
# the neighbours. Of 32 nets of 3 x 100 a chunk of 512 takes as long, of convolutional ones of 9 layers a sixth longer
CHUNK_ROWS = 128


@torch.no_grad()
def scores(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean cross-entropy, each (R,), of every run on the same rows x (N, F), y (N,), in evaluation mode."""
    right = loss = torch.zeros(len(parameters.weights[0]), dtype=torch.float64, device=x.device)
    trace = trace_of_pass(layout) if in_registers(x, *parameters.trained()) else None
    whole = len(x) // CHUNK_ROWS * CHUNK_ROWS
    for first, last in ((0, whole), (whole, len(x))):
        rows = min(CHUNK_ROWS, last - first)
        if not rows:
            continue
        part_x, part_y = (part[first:last].unflatten(0, (-1, rows)) for part in (x, y))
        if trace:
            found = _by_trace(trace, parameters, part_x, part_y)
        else:
            found = _chunk_by_chunk(layout, parameters, part_x, part_y)
        for own_right, own_loss in found:
            right, loss = right + own_right.double(), loss + own_loss.double() * rows
    return (right / len(x)).cpu().numpy(), (loss / len(x)).cpu().numpy()


Scores = Iterable[tuple[Tensor, Tensor]]  # of chunks how many rows are right and the mean loss, each (R,)


def _chunk_by_chunk(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor) -> Scores:
    """Of chunks x (S, B, F), y (S, B)."""
    runs = len(parameters.weights[0])
    for part_x, part_y in zip(x, y, strict=True):
        logits = forward(layout, parameters, part_x.expand(runs, -1, -1))
        yield scored(logits, part_y.expand(runs, -1))


def _by_trace(trace: Trace, parameters: Parameters, x: Tensor, y: Tensor) -> Scores:
    """The same: all chunks of a run before those of the next, whose weights stay in the cache."""
    chunks, runs, calls = len(x), len(parameters.weights[0]), Calls()
    # these must live until the calls are made, which know addresses only; all runs read the same rows
    x, y = x.contiguous().unsqueeze(1), y.long().contiguous()[:, None, :, None]
    right, losses, steps = x.new_empty(chunks, runs), x.new_empty(chunks, runs), steps_of(trace, x)

    def shared(tensor: Tensor) -> Matrix:
        return of_update(tensor.expand(-1, runs, -1, -1))

    known = {name: shared(tensor) for name, tensor in steps.items()}
    logits = TracedPass(trace, parameters, calls, **known).forward(shared(x))
    results = (of_update(found[..., None, None]).spot for found in (losses, right))
    calls.add(scores_part(), logits.height, logits.width, logits, shared(y).spot, *results)
    calls.make(runs=range(runs), updates=chunks)
    return zip(right, losses, strict=True)


def gradient_norms(layout: Layout, parameters: Parameters, x: Tensor, y: Tensor) -> np.ndarray:
    """Euclidean norm (R, layers) of the loss's gradient by each weight matrix, first layer first, on x (R, B, F) without dropout.

    It is what momentum remembers of a first update, which is made at rate 0 on a copy.
    """
    rule, still = Rule("momentum"), x.new_zeros(len(x), 1, 1)
    copy = parameters.copied()
    state = optimizer_state(rule.optimizer, copy.trained())
    hyper = dict.fromkeys(HYPER, still)
    block = Block(Given(x.unsqueeze(0)), y.unsqueeze(0), factors={}, fixed={}, rates=[1.0], first=1)
    unrecorded(layout, rule)(copy, state, hyper, block)
    velocities = [velocity for (velocity,) in state[: len(copy.weights)]]
    return torch.stack([v.flatten(1).norm(dim=1) for v in velocities], dim=1).cpu().numpy()
