"""Batch normalisation on a processor, forward and backward, each in one pass through memory: a run's rows stay in the cache in between.

Sums go down the rows in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from llvmlite import ir
from torch import Tensor

from folklore.core.machine_code import FLOAT, VECTOR, Code, Vector, compiled

_SIDE_BY_SIDE = 4  # sums at once, so that none waits for itself

Sums = list[Vector]


def normalised(
    h: Tensor, gain: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(y, (h - mean) / deviation), both (R, B, H), and mean, variance and 1 / deviation, each (R, 1, H), of h (R, B, H)."""
    y, centred = h.new_empty(h.shape), h.new_empty(h.shape)
    mean, variance, scale = (gain.new_empty(gain.shape) for _ in range(3))
    rows = [gain.contiguous(), shift.contiguous(), mean, variance, scale]
    _call(_forward(eps), [h.contiguous(), y, centred], rows)
    return y, centred, mean, variance, scale


def slopes(dy: Tensor, centred: Tensor, gain: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by h (R, B, H), gain and shift (R, 1, H) of what `normalised` gave."""
    dh, d_gain, d_shift = dy.new_empty(dy.shape), gain.new_empty(gain.shape), gain.new_empty(gain.shape)
    _call(_backward(), [dy.contiguous(), centred, dh], [gain.contiguous(), scale, d_gain, d_shift])
    return dh, d_gain, d_shift


def _call(kernel: Callable[..., None], matrices: list[Tensor], rows: list[Tensor]) -> None:
    runs, height, width = matrices[0].shape
    share = matrices[0].new_full((1,), 1 / height)
    kernel(runs, height, width, share.data_ptr(), *(t.data_ptr() for t in (*matrices, *rows)))


class _Panel:
    """Columns of a run that are worked on together. share: 1 / height; matrices and rows: where they begin there."""

    def __init__(
        self,
        code: Code,
        height: ir.Value,
        stride: ir.Value,
        share: Vector,
        matrices: list[ir.Value],
        rows: list[ir.Value],
        masks: list[ir.Value | None],
    ) -> None:
        self.code, self.height, self.stride, self.share = code, height, stride, share
        self.matrices, self.rows, self.masks = matrices, rows, masks

    def each(self, addresses: Sequence[ir.Value], which: int) -> list[Vector]:
        """The vectors at one of the addresses, side by side."""
        places = (self.code.at(addresses[which], self.code.int(VECTOR * j)) for j in range(len(self.masks)))
        return [self.code.load(place, mask) for place, mask in zip(places, self.masks, strict=True)]

    def put(self, vectors: Sequence[Vector], addresses: Sequence[ir.Value], which: int) -> None:
        for j, (vector, mask) in enumerate(zip(vectors, self.masks, strict=True)):
            self.code.store(vector, self.code.at(addresses[which], self.code.int(VECTOR * j)), mask)

    def down(self, sums: int, row: Callable[[Sequence[ir.Value], list[Sums]], list[Sums]]) -> list[Sums]:
        """Call `row` with the addresses of every row in turn and the sums so far; it returns them with this row's part."""
        code, width = self.code, len(self.masks)
        zero = code.vector(0).value
        with code.repeating(self.height, [code.int(0), *[zero] * (sums * width)]) as (at, following):
            down, *flat = at
            found = row(
                [code.at(matrix, down) for matrix in self.matrices],
                [[Vector(code, v) for v in flat[i * width : (i + 1) * width]] for i in range(sums)],
            )
            following += [code.at(down, self.stride), *(vector.value for line in found for vector in line)]
        return [[Vector(code, v) for v in flat[i * width : (i + 1) * width]] for i in range(sums)]


def _written(matrices: int, rows: int, body: Callable[[_Panel], None]) -> Callable[..., None]:
    """A kernel of runs, height, width, the address of 1 / height, and the addresses of (R, height, width) and (R, 1, width) tensors."""

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        runs, height, width, share, *starts = arguments
        stride = code.times(width, FLOAT)
        size = code.times(stride, height)
        with code.counting(code.int(0), runs, 1) as run:

            def panel(column: ir.Value, vectors: int, tail: ir.Value | None) -> None:
                offset = code.times(column, FLOAT)
                last = None if tail is None else code.first_lanes(tail)
                there = [
                    code.at(start, code.times(size if i < matrices else stride, run), offset)
                    for i, start in enumerate(starts)
                ]
                masks = [*[None] * (vectors - 1), last]
                part = code.number(share)
                body(_Panel(code, height, stride, part, there[:matrices], there[matrices:], masks))

            code.across(width, _SIDE_BY_SIDE, panel)

    return compiled(write, 4 + matrices + rows).call


@cache
def _forward(eps: float) -> Callable[..., None]:
    H, Y, CENTRED = range(3)
    GAIN, SHIFT, MEAN, VARIANCE, SCALE = range(5)

    def body(panel: _Panel) -> None:
        (total,) = panel.down(
            1, lambda at, sums: [[s + h for s, h in zip(sums[0], panel.each(at, H), strict=True)]]
        )
        mean = [s * panel.share for s in total]

        def squared(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            away = [h - m for h, m in zip(panel.each(at, H), mean, strict=True)]
            return [[s + d * d for s, d in zip(sums[0], away, strict=True)]]

        variance = [s * panel.share for s in panel.down(1, squared)[0]]
        scale = [1 / (v + eps).sqrt() for v in variance]
        gain, shift = panel.each(panel.rows, GAIN), panel.each(panel.rows, SHIFT)

        def scaled(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            centred = [(h - m) * s for h, m, s in zip(panel.each(at, H), mean, scale, strict=True)]
            panel.put(centred, at, CENTRED)
            panel.put([c * g + b for c, g, b in zip(centred, gain, shift, strict=True)], at, Y)
            return []

        panel.down(0, scaled)
        for vectors, which in ((mean, MEAN), (variance, VARIANCE), (scale, SCALE)):
            panel.put(vectors, panel.rows, which)

    return _written(3, 5, body)


@cache
def _backward() -> Callable[..., None]:
    DY, CENTRED, DH = range(3)
    GAIN, SCALE, D_GAIN, D_SHIFT = range(4)

    def body(panel: _Panel) -> None:
        def summed(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            dy, centred = panel.each(at, DY), panel.each(at, CENTRED)
            return [
                [s + d * c for s, d, c in zip(sums[0], dy, centred, strict=True)],
                [s + d for s, d in zip(sums[1], dy, strict=True)],
            ]

        d_gain, d_shift = panel.down(2, summed)
        panel.put(d_gain, panel.rows, D_GAIN)
        panel.put(d_shift, panel.rows, D_SHIFT)
        along, away = ([s * panel.share for s in sums] for sums in (d_gain, d_shift))
        factor = [
            g * s for g, s in zip(panel.each(panel.rows, GAIN), panel.each(panel.rows, SCALE), strict=True)
        ]

        def moved(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            dy, centred = panel.each(at, DY), panel.each(at, CENTRED)
            parts = zip(dy, centred, along, away, factor, strict=True)
            panel.put([(d - c * a - b) * f for d, c, a, b, f in parts], at, DH)
            return []

        panel.down(0, moved)

    return _written(3, 4, body)
