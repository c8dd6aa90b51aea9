"""Updates of a traced net by one compiled list of calls.

A run makes all updates of a block before the next run makes any: its weights stay in the cache from one update to the next, what is between
its layers never leaves it, and Python is called once a block. What is computed is what `folklore.core.steps` computes, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod

import torch
from torch import Tensor

from folklore.core import activations, optimizers
from folklore.core.affine import BACK, FORWARD
from folklore.core.affine import Back as Way
from folklore.core.batch_norm import backward_part, forward_part
from folklore.core.blocks import Block, Site
from folklore.core.calls import Calls, Matrix, Spot, of_run, of_update
from folklore.core.curves import curve_part
from folklore.core.elementwise import rectified_part, softening_part, sum_part, times_part
from folklore.core.machine_code import FLOAT, Compiled
from folklore.core.networks import Parameters
from folklore.core.pieces import larger_part, shared_part
from folklore.core.positions import (
    KERNEL,
    folded_part,
    halved,
    mean_part,
    skip_back_part,
    skip_part,
    spread_part,
    windows_part,
)
from folklore.core.products import ROW, Product, of_one_run, scratch_floats
from folklore.core.softmax import cross_entropy_part
from folklore.core.steps import Hyper, Rule, State, of_layer, of_norm
from folklore.core.traces import Activation, Drop, Joined, Linear, Mean, Node, Norm, Positions, Trace, Windows
from folklore.core.updates import numbers_of, update_product


def make_updates(
    trace: Trace, rule: Rule, parameters: Parameters, state: State, hyper: Hyper, block: Block
) -> list[Tensor]:
    """All updates of a block that `fits`; the losses (R,) before each of them."""
    numbers, x, factors = _numbers(rule, hyper, block), block.x, _factors(block)
    if (factor := factors.get(("input", 0))) is not None:
        x = x * factor
    y, losses = block.y.long().contiguous(), x.new_empty(len(block), x.shape[1])
    written = _Written(trace, rule, parameters, state, numbers, factors)
    written.update(x, y, losses).make(runs=x.shape[1], updates=len(block))
    return list(losses)


def _factors(block: Block) -> dict[Site, Tensor]:
    """All (S, R, ...)."""
    fixed = {site: f.unsqueeze(0).expand(len(block), *f.shape) for site, f in block.fixed.items()}
    return fixed | block.factors


@dataclass(frozen=True)
class _Numbers:
    """What every update needs of a run: numbers of its optimizer (S, R, 1, n), without and with weight decay, and by how much a proximal step
    shrinks its weights (S, R, 1, 1).
    """

    plain: Tensor
    decaying: Tensor
    shrinking: Tensor


def _numbers(rule: Rule, hyper: Hyper, block: Block) -> _Numbers:
    level, none = getattr(optimizers, rule.optimizer), torch.zeros_like(hyper["lr"])
    rates = [hyper["lr"] * rate for rate in block.rates]

    def with_decay(decay: Tensor) -> Tensor:
        each = [
            numbers_of(level, rate, hyper["momentum"], decay, float(block.first + i))
            for i, rate in enumerate(rates)
        ]
        return torch.stack(each).unsqueeze(2)

    plain, shrinking = with_decay(none), torch.stack([rate * hyper["l1"] for rate in rates])
    return _Numbers(plain, with_decay(hyper["weight_decay"]) if rule.decays else plain, shrinking)


Back = Callable[[Matrix], Matrix]  # from the slopes of a value those of the value that it was made of


class _Written:
    """Writes the calls of an update: forward, the loss, backward with the updates of the parameters.

    What a node writes forward gives the value that it makes, and what it writes backward: from the slopes of this value those of the value that
    it reads.
    """

    def __init__(
        self,
        trace: Trace,
        rule: Rule,
        parameters: Parameters,
        state: State,
        numbers: _Numbers,
        factors: dict[Site, Tensor],
    ) -> None:
        self.trace, self.rule, self.parameters, self.state = trace, rule, parameters, state
        self.level, self.factors, self.calls = getattr(optimizers, rule.optimizer), factors, Calls()
        self.plain, self.decaying = of_update(numbers.plain).spot, of_update(numbers.decaying).spot
        self.shrinking = of_update(numbers.shrinking).spot
        self.values: list[Matrix] = []
        self.slopes: dict[int, Matrix] = {}

    def update(self, x: Tensor, y: Tensor, losses: Tensor) -> Calls:
        """Of inputs (S, R, B, F) and labels (S, R, B); losses (S, R) is written."""
        self.values, backs = [of_update(x)], []
        for number, node in self.trace.numbered:
            value, back = self._write(node, number)
            self.values.append(value)
            backs.append(back)
        labels, loss = of_update(y.unsqueeze(3)).spot, of_update(losses[..., None, None]).spot
        logits = self.values[-1]
        self._call(cross_entropy_part(), logits.height, logits.width, logits, labels, loss)
        self.slopes[len(backs)] = logits
        for (number, node), back in reversed(list(zip(self.trace.numbered, backs, strict=True))):
            if number in self.trace.trained:
                self._hand_on(node.reads, back(self.slopes.pop(number)))
        return self.calls

    @singledispatchmethod
    def _write(self, node: Node, number: int) -> tuple[Matrix, Back]:
        """What makes value `number`, and what goes back through it."""
        raise TypeError(f"nothing is known of {node}")

    @_write.register
    def _linear(self, node: Linear, number: int) -> tuple[Matrix, Back]:
        inputs, layer = self.values[node.reads], node.layer
        weights, bias = (list(map(of_run, each)) for each in of_layer(self.parameters, self.state, layer))
        h = self.calls.scratch(inputs.height, weights[0].width)
        part = FORWARD[number in self.trace.rectifying]
        self._product(part, inputs, weights[0], [h], beside=bias[0].whole(1, h.width))

        def back(slopes: Matrix) -> Matrix:
            found = slopes
            if node.reads in self.trace.trained:
                found = self._back_product(slopes, weights[0], inputs, masked=number in self.trace.masked)
            penalised = self.rule.penalises(layer, len(self.parameters.weights))
            numbers = self.decaying if penalised else self.plain
            self._product(update_product(self.level), inputs.turned, slopes, weights, beside=numbers)
            if self.rule.shrinks and penalised:
                height, width = weights[0].height, weights[0].width
                self._call(softening_part(), height * width, weights[0], self.shrinking)
            ones = Matrix(Spot(_ONE.data_ptr()), 1, slopes.height, 0, 0)
            self._product(update_product(self.level, ROW), ones, slopes, bias, beside=self.plain)
            return found

        return h, back

    @_write.register
    def _norm(self, node: Norm, number: int) -> tuple[Matrix, Back]:
        h, place, parameters = self.values[node.reads], node.place, self.parameters
        y, centred, scale = self._like(h), self._like(h), self.calls.scratch(1, h.width)
        gain, shift = (list(map(of_run, each)) for each in of_norm(parameters, self.state, place))
        running = map(of_run, parameters.running[place])
        part = forward_part(moves=True, rectify=number in self.trace.rectifying)
        self._call(part, h.height, h.width, 0, 0, h, y, centred, gain[0], shift[0], scale, *running)

        def back(slopes: Matrix) -> Matrix:
            found, part = self._like(slopes), backward_part(update_product(self.level))
            sizes = slopes.height, slopes.width
            self._call(part, *sizes, self.plain, 0, slopes, centred, found, scale, *gain, *shift)
            return found

        return y, back

    @_write.register
    def _activation(self, node: Activation, number: int) -> tuple[Matrix, Back]:
        h = self.values[node.reads]
        if node.rectifies:
            return self._rectified(node, number, h)
        level = getattr(activations, node.level)
        if level is activations.maxout:
            return self._larger(h)
        values, slopes = self._like(h), self._like(h)
        self._call(curve_part(level), h.height * h.width, h, values, slopes)
        return values, lambda above: self._times(above, slopes, above)

    def _rectified(self, node: Activation, number: int, h: Matrix) -> tuple[Matrix, Back]:
        y = h
        if node.reads not in self.trace.rectifying:
            y = self._like(h)
            self._call(rectified_part(), h.height * h.width, h, h, y)
        if self.trace.masking(number) is not None:
            return y, lambda above: above

        def back(above: Matrix) -> Matrix:
            self._call(rectified_part(), y.height * y.width, above, y, above)
            return above

        return y, back

    def _larger(self, h: Matrix) -> tuple[Matrix, Back]:
        sizes = h.height, h.width // 2
        value, share = (self.calls.scratch(*sizes) for _ in range(2))
        self._call(larger_part(), *sizes, h, value, share)

        def back(slopes: Matrix) -> Matrix:
            found = self._like(h)
            self._call(shared_part(), *sizes, slopes, share, found)
            return found

        return value, back

    @_write.register
    def _drop(self, node: Drop, number: int) -> tuple[Matrix, Back]:
        h, factor = self.values[node.reads], self.factors.get(("unit", node.place))
        if factor is None:
            return h, lambda slopes: slopes
        times = of_update(factor)
        return self._times(h, times, self._like(h)), lambda slopes: self._times(slopes, times, slopes)

    @_write.register
    def _positions(self, node: Positions, number: int) -> tuple[Matrix, Back]:
        x = self.values[node.reads]
        rows = x.height * x.width
        return Matrix(x.whole(x.height, x.width), rows, 1, x.column), _no_back

    @_write.register
    def _windows(self, node: Windows, number: int) -> tuple[Matrix, Back]:
        h, out = self.values[node.reads], halved(node.length, node.stride)
        samples = h.height // node.length
        sizes = samples, node.length, h.width, out
        found = self.calls.scratch(samples * out, KERNEL * h.width)
        self._call(windows_part(node.stride), *sizes, h, found)

        def back(slopes: Matrix) -> Matrix:
            masked, of_positions = number in self.trace.masked, self._like(h)
            part = folded_part(node.stride, rectified=masked)
            self._call(part, *sizes, slopes, of_positions, *([h] if masked else []))
            return of_positions

        return found, back

    @_write.register
    def _mean(self, node: Mean, number: int) -> tuple[Matrix, Back]:
        h = self.values[node.reads]
        sizes = h.height // node.length, node.length, h.width
        found = self.calls.scratch(sizes[0], h.width)
        self._call(mean_part(), *sizes, h, found)

        def back(slopes: Matrix) -> Matrix:
            of_rows = self._like(h)
            self._call(spread_part(), *sizes, slopes, of_rows)
            return of_rows

        return found, back

    @_write.register
    def _joined(self, node: Joined, number: int) -> tuple[Matrix, Back]:
        h, skip = self.values[node.reads], self.values[node.skip]
        out, found = halved(node.length, node.stride), self._like(h)
        sizes = skip.height // node.length, node.length, h.width // skip.width, skip.width, out
        self._call(skip_part(node.stride), *sizes, skip, h, found)

        def back(slopes: Matrix) -> Matrix:
            of_skip = self._like(skip)
            self._call(skip_back_part(node.stride), *sizes, of_skip, slopes)
            self._hand_on(node.skip, of_skip)
            return slopes

        return found, back

    def _hand_on(self, value: int, slopes: Matrix) -> None:
        """Slopes that a reader of a value has found: those of all its readers are added."""
        if value not in self.trace.trained:
            return
        if (known := self.slopes.get(value)) is not None:
            self._call(sum_part(), known.height * known.width, known, slopes, known)
        else:
            self.slopes[value] = slopes

    def _back_product(self, slopes: Matrix, weights: Matrix, inputs: Matrix, *, masked: bool) -> Matrix:
        """Slopes of the inputs of a layer, or of what ReLU made them of."""
        found = self.calls.scratch(slopes.height, weights.height)
        way, beside = (Way.RECTIFIED, [inputs]) if masked else (Way.SLOPES, [])
        self._product(BACK[way], slopes, weights.turned, [found, *beside])
        return found

    def _times(self, h: Matrix, factor: Matrix, out: Matrix) -> Matrix:
        """h times factors for each row, or the same ones for all rows."""
        rows = h.height if factor.height > 1 else 1
        if (factor.height, factor.width, factor.column) != (rows, h.width, FLOAT):
            raise ValueError(f"factors {factor} do not fit {h}")
        self._call(times_part(), h.height, h.width, h, factor.spot, factor.row if rows > 1 else 0, out)
        return out

    def _like(self, h: Matrix) -> Matrix:
        return self.calls.scratch(h.height, h.width)

    def _call(self, part: Compiled, *arguments: Matrix | Spot | int) -> None:
        """Matrices must have no gaps."""
        spots = (a.whole(a.height, a.width) if isinstance(a, Matrix) else a for a in arguments)
        self.calls.add(part, *spots)

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


def _no_back(slopes: Matrix) -> Matrix:
    raise AssertionError("no slopes of inputs are wanted")
