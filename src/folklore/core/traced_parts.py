"""What the parts of a traced net write: norms, activations, factors and sums, each with what goes back through it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from folklore.core import activations, batch_norm, ghosts, layer_norm
from folklore.core.calls import Calls, Matrix, of_run
from folklore.core.curves import curve_part
from folklore.core.elementwise import rectified_part, sum_part, times_part
from folklore.core.learning import Learning
from folklore.core.lookup import split
from folklore.core.machine_code import FLOAT
from folklore.core.networks import Parameters
from folklore.core.pieces import larger_part, shared_part
from folklore.core.updates import update_product

# from the slopes of a value those of the value that it was made of, brought to a second matrix if one is given
Back = Callable[..., Matrix]
# the same of a norm, to a matrix that is given; behind these slopes the gradients of gain and shift, unless both have been updated already
NormBack = Callable[[Matrix, Matrix], list[Matrix]]


class Parts:
    """learning: None in evaluation, when norms take the moments that are kept, and nothing goes back."""

    def __init__(self, parameters: Parameters, calls: Calls, learning: Learning | None) -> None:
        self.calls, self.learning = calls, learning
        norms = zip(parameters.gains, parameters.shifts, parameters.running, strict=True)
        self.norms = [tuple(map(of_run, (gain, shift, *running))) for gain, shift, running in norms]

    def normed(
        self, level: str, place: int, h: Matrix, *, rectify: bool = False, kept: list[Matrix] | None = None
    ) -> tuple[Matrix, NormBack]:
        """By the norm at a place, whose running moments move, or by one step of a sequence, whose moments are kept."""
        if level == "none":
            return h, lambda slopes, found: [slopes]
        if level == "layer":
            return self._by_rows(place, h, rectify)
        if self.learning is None:
            y, part = self.like(h), batch_norm.evaluation_part(rectify=rectify)
            self.calls.add(part, h.height, h.width, 0, 0, h, y, *self.norms[place])
            return y, no_back
        _, amount = split(level)
        if amount:
            return self._in_ghosts(place, h, rectify, int(amount))
        return self._by_columns(place, h, rectify, kept)

    def _by_rows(self, place: int, h: Matrix, rectify: bool) -> tuple[Matrix, NormBack]:
        gain, shift, *_ = self.norms[place]
        y, centred, scale = self.like(h), self.like(h), self.calls.scratch(h.height, 1)
        sizes, part = (h.height, h.width), layer_norm.forward_part(rectify=rectify)
        self.calls.add(part, *sizes, h, y, centred, scale, gain, shift)

        def back(slopes: Matrix, found: Matrix) -> list[Matrix]:
            gradients = [self.like(gain), self.like(shift)]
            self.calls.add(batch_norm.sums_part(), *sizes, 0, 0, slopes, centred, *gradients)
            self.calls.add(layer_norm.backward_part(), *sizes, slopes, centred, found, scale, gain)
            return [found, *gradients]

        return y, back

    def _by_columns(
        self, place: int, h: Matrix, rectify: bool, kept: list[Matrix] | None
    ) -> tuple[Matrix, NormBack]:
        gain, shift, *running = self.norms[place]
        y, centred, scale = self.like(h), self.like(h), self.like(gain)
        sizes, part = (h.height, h.width), batch_norm.forward_part(moves=kept is None, rectify=rectify)
        self.calls.add(part, *sizes, 0, 0, h, y, centred, gain, shift, scale, *(kept or running))

        def back(slopes: Matrix, found: Matrix) -> list[Matrix]:
            if kept or self.learning.waits:
                gradients, part = [self.like(gain), self.like(shift)], batch_norm.backward_part(None)
                self.calls.add(part, *sizes, 0, 0, slopes, centred, found, scale, gain, *gradients)
                return [found, *gradients]
            part = batch_norm.backward_part(update_product(self.learning.level))
            own = [tensor for each in self.learning.norm(place) for tensor in each]
            self.calls.add(part, *sizes, self.learning.plain, 0, slopes, centred, found, scale, *own)
            return [found]

        return y, back

    def _in_ghosts(self, place: int, h: Matrix, rectify: bool, amount: int) -> tuple[Matrix, NormBack]:
        gain, shift, *running = self.norms[place]
        sizes = ghosts.sizes(h.height, amount)
        y, centred, count = self.like(h), self.like(h), len(sizes)
        scales, means, variances = (self.calls.scratch(count, h.width) for _ in range(3))
        parts = list(zip(range(count), accumulate(sizes, initial=0), sizes, strict=False))
        for g, first, size in parts:
            rows = [each.rows(first, size) for each in (h, y, centred)]
            own = [each.rows(g, 1) for each in (scales, means, variances)]
            part = batch_norm.forward_part(moves=False, rectify=rectify)
            self.calls.add(part, size, h.width, 0, 0, *rows, gain, shift, *own)
        numbers = self.calls.numbers([ghosts.unbiased(size) for size in sizes])
        self.calls.add(ghosts.moments_part(), count, h.width, h.height, numbers, means, variances, *running)

        def back(slopes: Matrix, found: Matrix) -> list[Matrix]:
            gradients: dict[int, list[Matrix]] = {}
            for g, first, size in parts:
                rows = [each.rows(first, size) for each in (slopes, centred, found)]
                own, part = [self.like(gain), self.like(shift)], batch_norm.backward_part(None)
                self.calls.add(part, size, h.width, 0, 0, *rows, scales.rows(g, 1), gain, *own)
                self.add_to(gradients, place, own)
            return [found, *gradients[place]]

        return y, back

    def activated(self, name: str, h: Matrix, out: Matrix | None = None) -> tuple[Matrix, Back]:
        """What the activation makes of h, brought to `out` if it is given."""
        level = getattr(activations, name)
        if level is activations.relu:
            y = out or self.like(h)
            self.calls.add(rectified_part(), h.height * h.width, h, h, y)
            return y, self.rectified_back(y)
        if level is activations.maxout:
            return self._larger(h, out)
        values, slopes = out or self.like(h), self.like(h)
        if self.learning is None:
            self.calls.add(curve_part(level, slopes=False), h.height * h.width, h, values)
            return values, no_back
        self.calls.add(curve_part(level), h.height * h.width, h, values, slopes)
        return values, lambda above, found=None: self.times(above, slopes, found or above)

    def rectified_back(self, y: Matrix) -> Back:
        def back(above: Matrix, found: Matrix | None = None) -> Matrix:
            found = found or above
            self.calls.add(rectified_part(), y.height * y.width, above, y, found)
            return found

        return back

    def _larger(self, h: Matrix, out: Matrix | None) -> tuple[Matrix, Back]:
        sizes = h.height, h.width // 2
        value, share = out or self.calls.scratch(*sizes), self.calls.scratch(*sizes)
        self.calls.add(larger_part(), *sizes, h, value, share)

        def back(slopes: Matrix, found: Matrix | None = None) -> Matrix:
            found = found or self.like(h)
            self.calls.add(shared_part(), *sizes, slopes, share, found)
            return found

        return value, back

    def add_to(self, sums: dict[int, list[Matrix]], key: int, parts: list[Matrix]) -> None:
        known = sums.setdefault(key, parts)
        if known is not parts:
            for total, part in zip(known, parts, strict=True):
                self.add(total, part)

    def add(self, total: Matrix, part: Matrix) -> None:
        self.calls.add(sum_part(), total.height * total.width, total, part, total)

    def times(self, h: Matrix, factor: Matrix, out: Matrix) -> Matrix:
        """h times factors for each row, or the same ones for all rows."""
        rows = h.height if factor.height > 1 else 1
        if (factor.height, factor.width, factor.column) != (rows, h.width, FLOAT):
            raise ValueError(f"factors {factor} do not fit {h}")
        self.calls.add(times_part(), h.height, h.width, h, factor.spot, factor.row if rows > 1 else 0, out)
        return out

    def like(self, h: Matrix) -> Matrix:
        return self.calls.scratch(h.height, h.width)


def no_back(*slopes: Matrix) -> Matrix:
    raise AssertionError("no slopes of inputs are wanted, and none in evaluation")
