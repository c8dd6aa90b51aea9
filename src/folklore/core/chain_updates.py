"""Updates of a chain by one compiled list of calls.

A run makes all updates of a block before the next run makes any: its weights stay in the cache from one update to the next, what is between
its layers never leaves it, and Python is called once a block. What is computed is what `folklore.core.steps` computes, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core import activations, optimizers
from folklore.core.affine import BACK, FORWARD, Back
from folklore.core.batch_norm import backward_part, forward_part
from folklore.core.blocks import Block, Site
from folklore.core.calls import Calls, Matrix, Spot, of_run, of_update
from folklore.core.chains import Stage
from folklore.core.curves import curve_part
from folklore.core.machine_code import FLOAT, Code, Compiled, compiled
from folklore.core.networks import Parameters
from folklore.core.products import Product, of_one_run, scratch_floats
from folklore.core.softmax import cross_entropy_part
from folklore.core.steps import Hyper, Rule, State, of_layer, of_norm
from folklore.core.updates import ROW, numbers_of, update_product


def make_updates(
    stages: tuple[Stage, ...], rule: Rule, parameters: Parameters, state: State, hyper: Hyper, block: Block
) -> list[Tensor]:
    """All updates of a block that `fits`; the losses (R,) before each of them."""
    numbers, x, factors = _numbers(rule, hyper, block), block.x, _factors(block)
    if (factor := factors.get(("input", 0))) is not None:
        x = x * factor
    y, losses = block.y.long().contiguous(), x.new_empty(len(block), x.shape[1])
    written = _Written(stages, rule, parameters, state, numbers, factors)
    written.update(x, y, losses).make(runs=x.shape[1], updates=len(block))
    return list(losses)


def _factors(block: Block) -> dict[Site, Tensor]:
    """All (S, R, ...)."""
    fixed = {site: f.unsqueeze(0).expand(len(block), *f.shape) for site, f in block.fixed.items()}
    return fixed | block.factors


def _numbers(rule: Rule, hyper: Hyper, block: Block) -> tuple[Tensor, Tensor]:
    """What every update needs of a run, (S, R, 1, numbers), without and with weight decay."""
    level, none = getattr(optimizers, rule.optimizer), torch.zeros_like(hyper["lr"])

    def with_decay(decay: Tensor) -> Tensor:
        each = (
            numbers_of(level, hyper["lr"] * rate, hyper["momentum"], decay, float(block.first + i))
            for i, rate in enumerate(block.rates)
        )
        return torch.stack(list(each)).unsqueeze(2)

    plain = with_decay(none)
    return plain, with_decay(hyper["weight_decay"]) if rule.decays else plain


@dataclass(frozen=True)
class _Kept:
    """What a layer keeps for the way back: its inputs, of its norm the normalised rows and 1 / deviation, and the activation's slopes."""

    inputs: Matrix
    centred: Matrix | None = None
    scale: Matrix | None = None
    slopes: Matrix | None = None


class _Written:
    """Writes the calls of an update: forward, the loss, backward with the updates of the parameters."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        rule: Rule,
        parameters: Parameters,
        state: State,
        numbers: tuple[Tensor, Tensor],
        factors: dict[Site, Tensor],
    ) -> None:
        self.stages, self.rule, self.parameters, self.state = stages, rule, parameters, state
        self.level, self.factors, self.calls = getattr(optimizers, rule.optimizer), factors, Calls()
        self.plain, self.decaying = (of_update(each).spot for each in numbers)

    def update(self, x: Tensor, y: Tensor, losses: Tensor) -> Calls:
        """Of inputs (S, R, B, F) and labels (S, R, B); losses (S, R) is written."""
        h, kept = of_update(x), []
        for stage in self.stages:
            h, own = self._forward(stage, h)
            kept.append(own)
        labels, loss = of_update(y.unsqueeze(3)).spot, of_update(losses[..., None, None]).spot
        self.calls.add(cross_entropy_part(), h.height, h.width, h.whole(h.height, h.width), labels, loss)
        befores = (None, *self.stages)
        for stage, before, own in reversed(list(zip(self.stages, befores, kept, strict=False))):
            h = self._backward(stage, h, own, before)
        return self.calls

    def _forward(self, stage: Stage, inputs: Matrix) -> tuple[Matrix, _Kept]:
        parameters = self.parameters
        weights, bias = (of_run(each[stage.layer]) for each in (parameters.weights, parameters.biases))
        h, own = self.calls.scratch(inputs.height, weights.width), _Kept(inputs)
        part = FORWARD[stage.rectified and stage.norm is None]
        self._product(part, inputs, weights, [h], beside=bias.whole(1, h.width))
        if stage.norm is not None:
            h, own = self._normalised(stage, h, own)
        if stage.activation and not stage.rectified:
            h, own = self._activated(stage, h, own)
        if (factor := self.factors.get(("unit", stage.dropped))) is not None:
            h = self._times(h, of_update(factor), self.calls.scratch(h.height, h.width))
        return h, own

    def _backward(self, stage: Stage, slopes: Matrix, own: _Kept, before: Stage | None) -> Matrix:
        """From the slopes of what a layer hands on those of its inputs, if another is before it; and its updates."""
        if (factor := self.factors.get(("unit", stage.dropped))) is not None:
            slopes = self._times(slopes, of_update(factor), slopes)
        if own.slopes is not None:
            slopes = self._times(slopes, own.slopes, slopes)
        if stage.norm is not None:
            slopes = self._norm_backward(stage.norm, slopes, own)
        weights, bias = (
            list(map(of_run, each)) for each in of_layer(self.parameters, self.state, stage.layer)
        )
        found = slopes if before is None else self._back(slopes, weights[0], own.inputs, before)
        penalised = self.rule.penalises(stage.layer, len(self.parameters.weights))
        numbers = self.decaying if penalised else self.plain
        self._product(update_product(self.level), own.inputs.turned, slopes, weights, beside=numbers)
        ones = Matrix(Spot(_ONE.data_ptr()), 1, slopes.height, 0, 0)
        self._product(update_product(self.level, ROW), ones, slopes, bias, beside=self.plain)
        return found

    def _back(self, slopes: Matrix, weights: Matrix, inputs: Matrix, before: Stage) -> Matrix:
        """Slopes of the inputs of a layer, or of what the ReLU of the layer before made them of."""
        found = self.calls.scratch(slopes.height, weights.height)
        back, beside = (Back.RECTIFIED, [inputs]) if before.rectified else (Back.SLOPES, [])
        self._product(BACK[back], slopes, weights.turned, [found, *beside])
        return found

    def _normalised(self, stage: Stage, h: Matrix, own: _Kept) -> tuple[Matrix, _Kept]:
        y, centred = (self.calls.scratch(h.height, h.width) for _ in range(2))
        scale, place, parameters = self.calls.scratch(1, h.width), stage.norm, self.parameters
        given = [of_run(each[place]) for each in (parameters.gains, parameters.shifts)]
        part = forward_part(moves=True, rectify=stage.rectified)
        self._norm(part, [h, y, centred], [*given, scale, *map(of_run, parameters.running[place])], 0)
        return y, replace(own, centred=centred, scale=scale)

    def _activated(self, stage: Stage, h: Matrix, own: _Kept) -> tuple[Matrix, _Kept]:
        values, slopes = (self.calls.scratch(h.height, h.width) for _ in range(2))
        spots = (matrix.whole(h.height, h.width) for matrix in (h, values, slopes))
        self.calls.add(curve_part(getattr(activations, stage.activation)), h.height * h.width, *spots)
        return values, replace(own, slopes=slopes)

    def _norm_backward(self, place: int, slopes: Matrix, own: _Kept) -> Matrix:
        gain, shift = of_norm(self.parameters, self.state, place)
        found = self.calls.scratch(slopes.height, slopes.width)
        rows = [own.scale, *map(of_run, [*gain, *shift])]
        self._norm(backward_part(update_product(self.level)), [slopes, own.centred, found], rows, self.plain)
        return found

    def _norm(self, part: Compiled, matrices: list[Matrix], rows: list[Matrix], numbers: Spot | int) -> None:
        height, width = matrices[0].height, matrices[0].width
        spots = [
            *(matrix.whole(height, width) for matrix in matrices),
            *(row.whole(1, width) for row in rows),
        ]
        self.calls.add(part, height, width, numbers, 0, *spots)

    def _times(self, h: Matrix, factor: Matrix, out: Matrix) -> Matrix:
        """h times factors for each row, or the same ones for all rows."""
        rows = h.height if factor.height > 1 else 1
        if (factor.height, factor.width, factor.column) != (rows, h.width, FLOAT):
            raise ValueError(f"factors {factor} do not fit {h}")
        spots = h.whole(h.height, h.width), factor.spot, factor.row if rows > 1 else 0
        self.calls.add(_times_part(), h.height, h.width, *spots, out.whole(h.height, h.width))
        return out

    def _product(
        self, product: Product, a: Matrix, b: Matrix, results: list[Matrix], *, beside: Spot | int = 0
    ) -> None:
        """The first of the results is A B, or what becomes of it; see `folklore.core.products`."""
        m, n, k = a.height, b.width, a.width
        given, scratch = b, 0
        if product.transposed:
            given, scratch = b.turned, self.calls.scratch(1, scratch_floats(k)).spot
        if b.height != k or given.column != FLOAT:
            raise ValueError(f"no product of {a} and {b}")
        numbers = a.spot, 0, a.row, a.column, b.spot, 0, given.row, m, k, n, beside, 0
        self.calls.add(of_one_run(product), *numbers, *(result.whole(m, n) for result in results), scratch)


_ONE = torch.ones(1)


@cache
def _times_part() -> Compiled:
    """A run's number (not used), rows, columns, the addresses of a matrix and of factors, bytes between the rows of these, and the result's."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, columns, matrix, factors, apart, out = given
        width = code.times(columns, FLOAT)
        with code.counting(code.int(0), rows, 1) as row:
            down, across = code.times(width, row), code.times(apart, row)

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                found = code.load(code.at(matrix, down, before), mask)
                found *= code.load(code.at(factors, across, before), mask)
                code.store(found, code.at(out, down, before), mask)

            code.along(columns, each)

    return compiled(write, 7)
