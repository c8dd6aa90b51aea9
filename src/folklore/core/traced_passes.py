"""Passes of a traced net through compiled calls: forward, and on the way back the slopes of every value and what parameters learn by them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatchmethod

from folklore.core.affine import BACK, BACK_ADDED, FORWARD, FORWARD_ADDED
from folklore.core.affine import Back as Way
from folklore.core.blocks import Site
from folklore.core.calls import Calls, Matrix, of_run
from folklore.core.elementwise import zero_part
from folklore.core.learning import Learning
from folklore.core.networks import Parameters
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
from folklore.core.recurrence import by_step_part, held_back_part, held_part, together_part
from folklore.core.traced_parts import Back, Parts, no_back
from folklore.core.traces import (
    Activation,
    AtLast,
    BySteps,
    Drop,
    Joined,
    Linear,
    Mean,
    Node,
    Norm,
    Positions,
    States,
    Trace,
    Windows,
)


class TracedPass:
    """Writes the calls of a pass: what a node writes forward gives the value that it makes, and what it writes backward.

    learning: None in evaluation, when norms take the moments that are kept, and nothing goes back. factors: of dropout, by site. goes_on, reached:
    of a net that reads step by step which rows go on (steps, rows), None if all do, and which steps have any that do (steps, 1).
    """

    def __init__(
        self,
        trace: Trace,
        parameters: Parameters,
        calls: Calls,
        *,
        learning: Learning | None = None,
        factors: Mapping[Site, Matrix] | None = None,
        goes_on: Matrix | None = None,
        reached: Matrix | None = None,
    ) -> None:
        self.trace, self.calls, self.learning = trace, calls, learning
        self.factors, self.goes_on, self.reached = factors or {}, goes_on, reached
        maps = zip(parameters.weights, parameters.biases, strict=True)
        self.maps = [(of_run(weights), of_run(bias)) for weights, bias in maps]
        self.parts = Parts(parameters, calls, learning)
        self.values: list[Matrix] = []
        self.backs: list[Back] = []
        self.slopes: dict[int, Matrix] = {}

    def forward(self, x: Matrix) -> Matrix:
        """The logits of inputs."""
        self.values = [x]
        for number, node in self.trace.numbered:
            value, back = self._write(node, number)
            self.values.append(value)
            self.backs.append(back)
        return self.values[-1]

    def backward(self, slopes: Matrix) -> None:
        """From the slopes of the logits; they are written over."""
        self.slopes[len(self.backs)] = slopes
        for (number, node), back in reversed(list(zip(self.trace.numbered, self.backs, strict=True))):
            if number in self.trace.trained:
                self._hand_on(node.reads, back(self.slopes.pop(number)))

    @singledispatchmethod
    def _write(self, node: Node, number: int) -> tuple[Matrix, Back]:
        """What makes value `number`, and what goes back through it."""
        raise TypeError(f"nothing is known of {node}")

    @_write.register
    def _linear(self, node: Linear, number: int) -> tuple[Matrix, Back]:
        inputs, (weights, bias) = self.values[node.reads], self.maps[node.layer]
        mask = self.factors.get(("weight", node.layer))
        if mask is not None:
            weights = self.parts.times(weights, mask, self.parts.like(weights))
        h = self.calls.scratch(inputs.height, weights.width)
        part = FORWARD[number in self.trace.rectifying]
        self.calls.product(part, inputs, weights, [h], beside=bias.whole(1, h.width))

        def back(slopes: Matrix) -> Matrix:
            found = slopes
            if node.reads in self.trace.trained:
                found = self._back_product(slopes, weights, inputs, masked=number in self.trace.masked)
            self.learning.layer(node.layer, inputs, slopes, mask)
            return found

        return h, back

    @_write.register
    def _norm(self, node: Norm, number: int) -> tuple[Matrix, Back]:
        h, rectify = self.values[node.reads], number in self.trace.rectifying
        y, back = self.parts.normed(node.level, node.place, h, rectify=rectify)

        def learning_back(slopes: Matrix) -> Matrix:
            found, *gradients = back(slopes, self.parts.like(slopes))
            if gradients:
                self.learning.norm_by(node.place, gradients)
            return found

        return y, learning_back

    @_write.register
    def _activation(self, node: Activation, number: int) -> tuple[Matrix, Back]:
        h = self.values[node.reads]
        if node.rectifies and node.reads in self.trace.rectifying:
            value, back = h, self.parts.rectified_back(h)
        else:
            value, back = self.parts.activated(node.level, h)
        masked = node.rectifies and self.trace.masking(number) is not None
        return value, _handed_on if masked else back

    @_write.register
    def _drop(self, node: Drop, number: int) -> tuple[Matrix, Back]:
        h, factor = self.values[node.reads], self.factors.get(("unit", node.place))
        if factor is None:
            return h, _handed_on
        return self.parts.times(h, factor, self.parts.like(h)), lambda slopes: self.parts.times(
            slopes, factor, slopes
        )

    @_write.register
    def _positions(self, node: Positions, number: int) -> tuple[Matrix, Back]:
        x = self.values[node.reads]
        rows = x.height * x.width
        return Matrix(x.whole(x.height, x.width), rows, 1, x.column), no_back

    @_write.register
    def _windows(self, node: Windows, number: int) -> tuple[Matrix, Back]:
        h, out = self.values[node.reads], halved(node.length, node.stride)
        samples = h.height // node.length
        sizes = samples, node.length, h.width, out
        found = self.calls.scratch(samples * out, KERNEL * h.width)
        self.calls.add(windows_part(node.stride), *sizes, h, found)

        def back(slopes: Matrix) -> Matrix:
            masked, of_positions = number in self.trace.masked, self.parts.like(h)
            part = folded_part(node.stride, rectified=masked)
            self.calls.add(part, *sizes, slopes, of_positions, *([h] if masked else []))
            return of_positions

        return found, back

    @_write.register
    def _mean(self, node: Mean, number: int) -> tuple[Matrix, Back]:
        h = self.values[node.reads]
        sizes = h.height // node.length, node.length, h.width
        found = self.calls.scratch(sizes[0], h.width)
        self.calls.add(mean_part(), *sizes, h, found)

        def back(slopes: Matrix) -> Matrix:
            of_rows = self.parts.like(h)
            self.calls.add(spread_part(), *sizes, slopes, of_rows)
            return of_rows

        return found, back

    @_write.register
    def _joined(self, node: Joined, number: int) -> tuple[Matrix, Back]:
        h, skip = self.values[node.reads], self.values[node.skip]
        out, found = halved(node.length, node.stride), self.parts.like(h)
        sizes = skip.height // node.length, node.length, h.width // skip.width, skip.width, out
        self.calls.add(skip_part(node.stride), *sizes, skip, h, found)

        def back(slopes: Matrix) -> Matrix:
            of_skip = self.parts.like(skip)
            self.calls.add(skip_back_part(node.stride), *sizes, of_skip, slopes)
            self._hand_on(node.skip, of_skip)
            return slopes

        return found, back

    @_write.register
    def _by_steps(self, node: BySteps, number: int) -> tuple[Matrix, Back]:
        x = self.values[node.reads]
        steps = -(-x.width // node.read)
        found = self.calls.scratch(steps * x.height, node.read)
        self.calls.add(by_step_part(), x.height, x.width, steps, node.read, x, found)
        return found, no_back

    @_write.register
    def _states(self, node: States, number: int) -> tuple[Matrix, Back]:
        read, (weights, bias) = self.values[node.reads], self.maps[node.layer]
        steps, units = node.steps, weights.height
        rows = read.height // steps
        states = self.calls.scratch((steps + 1) * rows, units)  # the first are zeros, and stay so
        moments = [self.calls.scratch(steps, weights.width) for _ in range(2)]
        backs = []
        for t in range(steps):
            before, after = states.rows(t * rows, rows), states.rows((t + 1) * rows, rows)
            h = self.calls.scratch(rows, weights.width)
            results = [h, read.rows(t * rows, rows)]
            self.calls.product(FORWARD_ADDED, before, weights, results, beside=bias.whole(1, h.width))
            kept = [moment.rows(t, 1) for moment in moments]
            y, norm_back = self.parts.normed(node.norm, _place(node, t), h, kept=kept)
            new, back = self.parts.activated(node.activation, y, after if self._all_go_on(t) else None)
            if not self._all_go_on(t):
                self.calls.add(held_part(), rows, units, self.goes_on.rows(t, 1), new, before, after)
            backs.append((back, norm_back))
        if node.norm == "batch" and self.learning:
            self._move_together(node, rows, moments)

        def back(slopes: Matrix) -> Matrix:
            found, gradients = self.parts.like(read), {}
            for t, (active_back, norm_back) in reversed(list(enumerate(backs))):
                above, own = slopes.rows(t * rows, rows), found.rows(t * rows, rows)
                before = slopes.rows((t - 1) * rows, rows) if t else None
                if not self._all_go_on(t):
                    new = self.calls.scratch(rows, units)
                    self.calls.add(held_back_part(), rows, units, self.goes_on.rows(t, 1), above, new, before)
                    above = new
                _, *parts = norm_back(active_back(above, own), own)
                if parts:
                    self.parts.add_to(gradients, _place(node, t), parts)
                if before is not None:
                    self.calls.product(BACK_ADDED, own, weights.turned, [before])
            self.learning.layer(node.layer, states.rows(0, steps * rows), found)
            for place, parts in gradients.items():
                self.learning.norm_by(place, parts)
            return found

        return states.rows(rows, steps * rows), back

    @_write.register
    def _at_last(self, node: AtLast, number: int) -> tuple[Matrix, Back]:
        h = self.values[node.reads]
        rows = h.height // node.steps
        first = h.height - rows

        def back(slopes: Matrix) -> Matrix:
            found = self.parts.like(h)
            self.calls.add(zero_part(), h.height * h.width, found)
            last = found.rows(first, rows)
            self.parts.add(last, slopes)
            return found

        return h.rows(first, rows), back

    def _all_go_on(self, t: int) -> bool:
        return self.goes_on is None or t == 0

    def _move_together(self, node: States, rows: int, moments: list[Matrix]) -> None:
        """The running moments of each place by those of all its steps."""
        of_place: dict[int, list[int]] = {}
        for t in range(node.steps):
            of_place.setdefault(_place(node, t), []).append(t)
        for place, (first, *others) in of_place.items():
            count, running = 1 + len(others), self.parts.norms[place][2:]
            known = [self.reached.rows(first, count), *(moment.rows(first, count) for moment in moments)]
            sizes = count, moments[0].width, count * rows
            self.calls.add(together_part(moves=True), *sizes, *known, *running, *running)

    def _back_product(self, slopes: Matrix, weights: Matrix, inputs: Matrix, *, masked: bool) -> Matrix:
        """Slopes of the inputs of a layer, or of what ReLU made them of."""
        found = self.calls.scratch(slopes.height, weights.height)
        way, beside = (Way.RECTIFIED, [inputs]) if masked else (Way.SLOPES, [])
        self.calls.product(BACK[way], slopes, weights.turned, [found, *beside])
        return found

    def _hand_on(self, value: int, slopes: Matrix) -> None:
        """Slopes that a reader of a value has found: those of all its readers are added."""
        if value not in self.trace.trained:
            return
        known = self.slopes.setdefault(value, slopes)
        if known is not slopes:
            self.parts.add(known, slopes)


def _place(node: States, t: int) -> int:
    """Where the norm of a step is."""
    return node.places[min(t, len(node.places) - 1)]


def _handed_on(slopes: Matrix) -> Matrix:
    return slopes
