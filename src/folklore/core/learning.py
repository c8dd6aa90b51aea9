"""What becomes of the gradients of a traced net: each updates its parameter at once, or all wait until they are clipped together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from folklore.core import optimizers
from folklore.core.affine import GRADIENT, TOTAL
from folklore.core.blocks import Block
from folklore.core.calls import Calls, Matrix, Spot, of_run, of_update
from folklore.core.clipping import scale_part, squares_part
from folklore.core.elementwise import softening_part, times_part
from folklore.core.machine_code import FLOAT
from folklore.core.networks import Parameters
from folklore.core.products import Product
from folklore.core.steps import Hyper, Rule, State
from folklore.core.updates import numbers_of_all, update_product


@dataclass(frozen=True)
class Numbers:
    """What every update needs of a run: numbers of its optimizer (S, R, 1, n), without and with weight decay, by how much a proximal step
    shrinks its weights (S, R, 1, 1), and the largest norm of its gradients (R, 1, 1).
    """

    plain: Tensor
    decaying: Tensor
    shrinking: Tensor
    largest: Tensor


def numbers(rule: Rule, hyper: Hyper, block: Block) -> Numbers:
    """Those of all updates of a block."""
    level, updates = getattr(optimizers, rule.optimizer), [float(block.first + i) for i in range(len(block))]
    rates = hyper["lr"] * hyper["lr"].new_tensor(block.rates).view(-1, 1, 1, 1)

    def with_decay(decay: Tensor) -> Tensor:
        return numbers_of_all(level, rates, hyper["momentum"], decay, updates).unsqueeze(2)

    plain = with_decay(torch.zeros_like(hyper["lr"]))
    decaying = with_decay(hyper["weight_decay"]) if rule.decays else plain
    return Numbers(plain, decaying, rates * hyper["l1"], hyper["clip"])


class Learning:
    """Writes the updates of parameters, which have the numbers of their places in `Parameters.trained`."""

    def __init__(
        self, calls: Calls, rule: Rule, parameters: Parameters, state: State, numbers: Numbers
    ) -> None:
        self.calls, self.rule, self.layers = calls, rule, len(parameters.weights)
        self.norms = len(parameters.gains)
        self.plain, self.decaying = of_update(numbers.plain).spot, of_update(numbers.decaying).spot
        self.shrinking, self.largest = of_update(numbers.shrinking).spot, of_run(numbers.largest).spot
        trained = zip(parameters.trained(), state, strict=True)
        self.tensors = [[of_run(t) for t in (parameter, *own)] for parameter, own in trained]
        self.level = getattr(optimizers, rule.optimizer)
        self.waiting: dict[int, Matrix] = {}

    @property
    def waits(self) -> bool:
        return self.rule.clips

    def layer(self, i: int, inputs: Matrix, slopes: Matrix, mask: Matrix | None = None) -> None:
        """Weights and bias of layer i, by its inputs and the slopes of what it makes of them; mask: what the weights were multiplied by."""
        self._learn(i, GRADIENT, inputs.turned, slopes, mask)
        self._learn(self.layers + i, TOTAL, _ones(slopes.height), slopes)

    def norm(self, place: int) -> tuple[list[Matrix], list[Matrix]]:
        """Gain and shift at a place, each with its state."""
        first = 2 * self.layers + place
        return self.tensors[first], self.tensors[first + self.norms]

    def norm_by(self, place: int, gradients: Sequence[Matrix]) -> None:
        """Gain and shift at a place, by their gradients."""
        first = 2 * self.layers + place
        for number, g in zip((first, first + self.norms), gradients, strict=True):
            if self.waits:
                self.waiting[number] = g
            else:
                self._update_by(number, g, _ones(1))

    def finish(self) -> None:
        """What waits."""
        if not self.waiting:
            return
        squares, scale = self.calls.scratch(1, len(self.waiting)), self.calls.scratch(1, 1)
        gradients = sorted(self.waiting.items())
        for i, (_, g) in enumerate(gradients):
            at = replace(squares.spot, first=squares.spot.first + FLOAT * i)
            self.calls.add(squares_part(), g.height * g.width, g, at)
        self.calls.add(scale_part(), len(gradients), squares, self.largest, scale)
        for number, g in gradients:
            self._update_by(number, g, scale)

    def _learn(
        self, number: int, gradient: Product, a: Matrix, slopes: Matrix, mask: Matrix | None = None
    ) -> None:
        """By the product of a and slopes; a masked weight has the gradient that its mask lets through."""
        if self.waits or mask is not None:
            g = self.calls.scratch(a.height, slopes.width)
            self.calls.product(gradient, a, slopes, [g])
            if mask is not None:
                self.calls.add(times_part(), g.height, g.width, g, mask.spot, mask.row, g)
            if self.waits:
                self.waiting[number] = g
            else:
                self._update_by(number, g, _ones(1))
            return
        update = update_product(self.level, tall=gradient.tall)
        self.calls.product(update, a, slopes, self.tensors[number], beside=self._numbers(number))
        self._shrink(number)

    def _update_by(self, number: int, g: Matrix, scale: Matrix) -> None:
        """By a gradient times a number."""
        tensors = [tensor.flat for tensor in self.tensors[number]]
        update = update_product(self.level, tall=False)
        self.calls.product(update, scale, g.flat, tensors, beside=self._numbers(number))
        self._shrink(number)

    def _numbers(self, number: int) -> Spot:
        return self.decaying if self._penalised(number) else self.plain

    def _penalised(self, number: int) -> bool:
        return number < self.layers and self.rule.penalises(number, self.layers)

    def _shrink(self, number: int) -> None:
        if self.rule.shrinks and self._penalised(number):
            weights = self.tensors[number][0]
            self.calls.add(softening_part(), weights.height * weights.width, weights, self.shrinking)


_ONE = torch.ones(1)


def _ones(count: int) -> Matrix:
    """A row of so many."""
    return Matrix(Spot(_ONE.data_ptr()), 1, count, 0, 0)
