"""Updates of a chain, a net whose layers follow one another, by one compiled function.

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

from folklore.core import activations, lookup, norms, optimizers
from folklore.core.affine import BACK, FORWARD, Back, in_registers
from folklore.core.batch_norm import backward_part, forward_part
from folklore.core.blocks import Block, Site
from folklore.core.calls import Calls, Matrix, Spot, of_run, of_update
from folklore.core.curves import curve_part
from folklore.core.curves import writes as writes_curve
from folklore.core.machine_code import FLOAT, LANES, Code, Compiled, compiled
from folklore.core.networks import Layout, Parameters, Pass
from folklore.core.products import Product, of_one_run, scratch_floats
from folklore.core.softmax import cross_entropy_part
from folklore.core.steps import Hyper, Rule, State
from folklore.core.updates import ROW, numbers_of, update_product, writes

_MOST_SIDE_BY_SIDE = 4


@dataclass(frozen=True)
class Stage:
    """A layer of a chain: the affine map, then perhaps the batch norm at place `norm`, an activation, and dropout at place `dropped`."""

    layer: int
    norm: int | None = None
    activation: str | None = None
    dropped: int | None = None

    @property
    def rectified(self) -> bool:
        """ReLU is part of the maps and norms around it."""
        return self.activation == activations.relu.__name__


def chain_of(layout: Layout, rule: Rule) -> tuple[Stage, ...] | None:
    """The layers of a net whose updates can be made here, else None."""
    if rule.clips or rule.shrinks or rule.frozen or layout.classes > LANES:
        return None
    return _stages(layout) if writes(getattr(optimizers, rule.optimizer)) else None


def fits(stages: tuple[Stage, ...], parameters: Parameters, block: Block) -> bool:
    """Whether a block asks for no more than the compiled function does."""
    sites = {("input", 0), *(("unit", stage.dropped) for stage in stages)}
    factors = [*block.factors.values(), *block.fixed.values()]
    tensors = [block.x, *factors, *parameters.trained()]
    return {*block.factors, *block.fixed} <= sites and in_registers(*tensors)


class _Traced(Pass):
    """A pass that only remembers in what order the parts of a layer come, if one follows the other."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, Parameters([], [], [], [], []), {}, training=True)
        self.last = object()
        self.stages: list[Stage] = []

    def linear(self, i: int, h: object) -> object:
        self.stages.append(Stage(i))
        return self._behind(h)

    def norm(self, i: int, h: object) -> object:
        if self.layout.norm == "none":
            return h
        if lookup.function(norms, self.layout.norm) is not norms.batch:
            raise TypeError("no batch norm")
        return self._with(h, norm=i)

    def activate(self, h: object) -> object:
        name = self.layout.activation
        if name != activations.relu.__name__ and not writes_curve(getattr(activations, name)):
            raise TypeError("an activation that needs tensors")
        return self._with(h, activation=name)

    def drop(self, i: int, h: object) -> object:
        return self._with(h, dropped=i)

    def _with(self, h: object, **part: object) -> object:
        """The last layer with a part more; parts come in the order of a stage's fields."""
        stage, names = self.stages[-1], list(Stage.__dataclass_fields__)
        behind = names[names.index(next(iter(part))) :]
        if any(getattr(stage, name) is not None for name in behind):
            raise TypeError("another order of the parts")
        self.stages[-1] = replace(stage, **part)
        return self._behind(h)

    def _behind(self, h: object) -> object:
        if h is not self.last:
            raise TypeError("no chain")
        self.last = object()
        return self.last


@cache
def _stages(layout: Layout) -> tuple[Stage, ...] | None:
    """The layers of a net if it is a chain of them, found by passing a mark through it on which nothing else can be done."""
    traced = _Traced(layout)
    try:
        end = traced.logits(traced.last)
    except (TypeError, AttributeError, IndexError):
        return None
    layers = [stage.layer for stage in traced.stages]
    plain_end = end is traced.last and traced.stages[-1] == Stage(len(layers) - 1)
    return tuple(traced.stages) if plain_end and layers == list(range(len(layout.fans))) else None


def make_updates(
    stages: tuple[Stage, ...], rule: Rule, parameters: Parameters, state: State, hyper: Hyper, block: Block
) -> list[Tensor]:
    """All updates of a block that `fits`; the losses (R,) before each of them."""
    numbers, x, factors = _numbers(rule, hyper, block), block.x, _factors(block)
    if (factor := factors.get(("input", 0))) is not None:
        x = x * factor
    y, losses = block.y.contiguous(), x.new_empty(len(block), x.shape[1])
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
        i, layers, found = stage.layer, len(self.parameters.weights), slopes
        weights, bias = self.parameters.weights[i], self.parameters.biases[i]
        if before is not None:
            found = self.calls.scratch(slopes.height, weights.shape[1])
            back, results = (
                (Back.RECTIFIED, [found, own.inputs]) if before.rectified else (Back.SLOPES, [found])
            )
            self._product(BACK[back], slopes, of_run(weights).turned, results)
        penalised = {"first": 0, "last": layers - 1}.get(self.rule.penalised, i) == i
        numbers = self.decaying if penalised else self.plain
        self._update(
            own.inputs.turned, slopes, [weights, *self.state[i]], numbers, update_product(self.level)
        )
        ones = Matrix(Spot(_ONE.data_ptr()), 1, slopes.height, 0, 0)
        self._update(
            ones, slopes, [bias, *self.state[layers + i]], self.plain, update_product(self.level, ROW)
        )
        return found

    def _update(
        self, inputs: Matrix, slopes: Matrix, tensors: list[Tensor], numbers: Spot, product: Product
    ) -> None:
        self._product(product, inputs, slopes, [of_run(tensor) for tensor in tensors], beside=numbers)

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
        parameters, states = self.parameters, self.state[2 * len(self.parameters.weights) :]
        gain = [parameters.gains[place], *states[place]]
        shift = [parameters.shifts[place], *states[len(parameters.gains) + place]]
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

            def panel(first: ir.Value, vectors: int, tail: ir.Value | None) -> None:
                for j in range(vectors):
                    mask = code.first_lanes(tail) if tail is not None and j == vectors - 1 else None
                    right = code.at(code.times(first, FLOAT), code.int(FLOAT * LANES * j))
                    found = code.load(code.at(matrix, down, right), mask) * code.load(
                        code.at(factors, across, right), mask
                    )
                    code.store(found, code.at(out, down, right), mask)

            code.across(columns, _MOST_SIDE_BY_SIDE, panel)

    return compiled(write, 7)
