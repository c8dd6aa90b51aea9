"""Blocks of updates by one recorded update, for a GPU.

An update is some hundred small kernels there, and to launch them from Python takes several times as long as they do. A CUDA graph launches
all of them at once. The recorded update reads its inputs at a counter, which it moves on, from tensors that a block is copied to, and leaves
its losses beside them: within a block the processor does nothing but ask for the next update.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from folklore.core.blocks import Block, one_by_one
from folklore.core.networks import Parameters
from folklore.core.steps import Hyper, State, Step

BEFORE = 3  # updates made as usual first: libraries choose kernels, and allocate what they keep

Updates = Callable[[Parameters, State, Hyper, Block], list[Tensor]]
Update = Callable[[], None]
Record = Callable[
    [Update], Update
]  # a function that makes the same update again, on the same tensors, whenever it is called


class Recorded:
    """Makes the updates of blocks; records one anew when the parameters, their state, the fixed factors or the shapes are other ones."""

    def __init__(self, step: Step, record: Record) -> None:
        self._step, self._record = step, record
        self._known: list[object] = []
        self._usual, self._room = 0, 0

    def __call__(self, parameters: Parameters, state: State, hyper: Hyper, block: Block) -> list[Tensor]:
        """The losses (R,) of every update."""
        known = [*_written(parameters, state), *hyper.values(), *_kinds(block)]
        if not _same(known, self._known):
            self._known, self._usual, self._room = known, 0, 0
        losses = one_by_one(self._step, parameters, state, hyper, block.cut(0, BEFORE - self._usual))
        self._usual += len(losses)
        block = block.cut(len(losses), len(block))
        if not len(block):
            return losses
        if len(block) > self._room:
            self._room = 2 * (len(losses) + len(block))  # blocks that end at validations differ in length
            self._inputs = _Inputs(block, self._room)
            self._replay = self._record(lambda: self._update(parameters, state, hyper, block.fixed))
        return losses + self._replayed(block)

    def _replayed(self, block: Block) -> list[Tensor]:
        self._inputs.take(block)
        for _ in range(len(block)):
            self._replay()
        return list(self._inputs.losses[: len(block)].clone())

    def _update(self, parameters: Parameters, state: State, hyper: Hyper, fixed: dict) -> None:
        given = self._inputs
        # not by index_select, which takes 5 ms for a row of 5 million numbers
        x, y, *own, rate, t = (tensor[given.at].squeeze(0) for tensor in given.tensors)
        factors = fixed | dict(zip(given.sites, own, strict=True))
        losses = self._step(parameters, state, hyper | {"lr": hyper["lr"] * rate}, x, y, factors, t)
        given.losses.index_copy_(0, given.at, losses.unsqueeze(0))
        given.at.add_(1)


class _Inputs:
    """Where a recorded update reads: tensors with room for a block, and `at` (1,), the place of the update in it. losses (room, R)."""

    def __init__(self, block: Block, room: int) -> None:
        self.sites = list(block.factors)
        self.tensors = [tensor.new_zeros(room, *tensor.shape[1:]) for tensor in _tensors(block)]
        self.at = torch.zeros(1, dtype=torch.int64, device=block.y.device)
        self.losses = torch.zeros(room, block.y.shape[1], device=block.y.device)

    def take(self, block: Block) -> None:
        """A block that there is room for."""
        for tensor, new in zip(self.tensors, _tensors(block), strict=True):
            tensor[: len(block)].copy_(new)
        self.at.zero_()


def as_graph(update: Update) -> Update:
    """A recording by CUDA, for which `update` is called once and changes nothing."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    return graph.replay


def _tensors(block: Block) -> list[Tensor]:
    """x, y, factors, the schedule's factors (S,) and the numbers of the updates (S,)."""
    device, last = block.y.device, block.first + len(block)
    rates = torch.tensor(block.rates, dtype=torch.float32).to(device)
    numbers = torch.arange(block.first, last, dtype=torch.float64, device=device)
    return [block.x.tensor, block.y, *(factor.tensor for factor in block.factors.values()), rates, numbers]


def _written(parameters: Parameters, state: State) -> list[Tensor]:
    """What an update writes into."""
    return [*parameters.tensors(), *(tensor for own in state for tensor in own)]


def _kinds(block: Block) -> list[object]:
    """Fixed factors, and the shapes of an update's own tensors."""
    own = {"x": block.x, "y": block.y} | block.factors
    return [*block.fixed, *block.fixed.values(), *((name, each.shape[1:]) for name, each in own.items())]


def _same(a: list[object], b: list[object]) -> bool:
    """Tensors by identity, for a recording knows where they lie; names and shapes by value."""
    return len(a) == len(b) and all(
        one is other if isinstance(one, Tensor) else not isinstance(other, Tensor) and one == other
        for one, other in zip(a, b, strict=True)
    )
