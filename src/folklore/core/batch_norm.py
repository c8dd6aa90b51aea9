"""Batch normalisation in training (Ioffe & Szegedy 2015, algorithm 1), forward and backward.

On a processor each is one pass through memory, for a run's rows stay in the cache in between. Sums go down the rows in order. `moving` is the
norm of an update: its ReLU, the moving averages of its moments and what becomes of gain and shift happen in the same two passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.compilation import Compiled, compiled, over_runs
from folklore.core.machine_code import FLOAT, VECTOR, Code, Vector
from folklore.core.products import Place, Product

EPS = 1e-5
RUNNING_WEIGHT = 0.1
_SIDE_BY_SIDE = 4  # sums at once, so that none waits for itself

Moments = tuple[Tensor, Tensor]
Sums = list[Vector]
# slopes (R, B, H), normalised rows (R, B, H) and 1 / deviation (R, 1, H) -> slopes of the inputs (R, B, H)
Receive = Callable[[Tensor, Tensor, Tensor], Tensor]


def normalised(h: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """h (R, B, H) normalised by its own moments, and mean and variance (R, 1, H); for autograd all but these two."""
    return _Normalised.apply(h, gain, shift)


def moving(
    h: Tensor, gain: Tensor, shift: Tensor, running: Moments, receive: Receive, *, rectify: bool = False
) -> Tensor:
    """h (R, B, H) normalised by its own moments, which move the running ones; its ReLU, if `rectify`, for a map whose inputs are `rectified`.

    For autograd gain and shift get no gradient, but `receive` makes the backward pass, and may change them.
    """
    return _Moving.apply(h, gain, shift, running, receive, rectify)


def evaluated(h: Tensor, gain: Tensor, shift: Tensor, moments: Moments) -> Tensor:
    """h (R, B, H) normalised by moments that are given, each (R, 1, H)."""
    if in_registers(h, gain, shift, *moments) and not (torch.is_grad_enabled() and h.requires_grad):
        h, *rows = (t.contiguous() for t in (h, gain, shift, *moments))
        y = torch.empty_like(h)
        _call(evaluation_part(rectify=False), [h, y], rows)
        return y
    mean, variance = moments
    return torch.addcmul(shift, (h - mean) * torch.rsqrt(variance + EPS), gain)


def move(running: Moments, mean: Tensor, variance: Tensor, rows: int) -> None:
    """In place: moving averages of mean and unbiased variance, weight .1, as `torch.nn.BatchNorm1d` keeps them."""
    for known, seen in zip(running, (mean.detach(), variance.detach() * (rows / (rows - 1))), strict=True):
        known.add_((seen - known).mul_(RUNNING_WEIGHT))  # not by lerp_, which rounds as the processor likes


def slopes(dy: Tensor, centred: Tensor, gain: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by h (R, B, H), gain and shift (R, 1, H), from those by the output, the normalised rows and 1 / deviation."""
    dy, gain = dy.contiguous(), gain.contiguous()
    if in_registers(dy, centred, gain):
        dh, d_gain, d_shift = torch.empty_like(dy), torch.empty_like(gain), torch.empty_like(gain)
        _call(backward_part(None), [dy, centred, dh], [scale, gain, d_gain, d_shift])
        return dh, d_gain, d_shift
    rows = dy.shape[1]
    d_gain = (dy * centred).sum(dim=1, keepdim=True)
    d_shift = dy.sum(dim=1, keepdim=True)
    dh = torch.addcmul(dy, centred, d_gain, value=-1 / rows).sub_(d_shift, alpha=1 / rows)
    return dh.mul_(gain * scale), d_gain, d_shift


def sums_of_slopes(dy: Tensor, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by gain and shift (R, 1, H) of any norm, from slopes and normalised rows (R, B, H). For kernels only."""
    d_gain, d_shift = (dy.new_empty(len(dy), 1, dy.shape[2]) for _ in range(2))
    _call(sums_part(), [dy, centred], [d_gain, d_shift])
    return d_gain, d_shift


def slopes_and_update(
    update: Product,
    gain: list[Tensor],
    shift: list[Tensor],
    numbers: Tensor,
    dy: Tensor,
    centred: Tensor,
    scale: Tensor,
) -> Tensor:
    """Gradients by h (R, B, H); gain and shift (R, 1, H), each with what the update keeps of it, are updated by theirs.

    update: whose end an element's gradient is given to. numbers (R, n): what it needs of a run. For kernels only.
    """
    dh = torch.empty_like(dy)
    _call(backward_part(update), [dy, centred, dh], [scale, *gain, *shift], numbers)
    return dh


class _Normalised(torch.autograd.Function):
    """The gradient in closed form: half the time of what autograd would derive."""

    @staticmethod
    def forward(ctx, h: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, centred, scale, mean, variance = _scaled(h, gain, shift)
        ctx.save_for_backward(centred, scale, gain)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx, dy: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred, scale, gain = ctx.saved_tensors
        return slopes(dy, centred, gain, scale)


class _Moving(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, h: Tensor, gain: Tensor, shift: Tensor, running: Moments, receive: Receive, rectify: bool
    ) -> Tensor:
        ctx.receive, h = receive, h.contiguous()
        if in_registers(h, gain, shift, *running):
            y, centred, scale = torch.empty_like(h), torch.empty_like(h), torch.empty_like(gain)
            _call(forward_part(moves=True, rectify=rectify), [h, y, centred], [gain, shift, scale, *running])
        else:
            y, centred, scale, mean, variance = _scaled(h, gain, shift)
            move(running, mean, variance, h.shape[1])
            y = y.relu_() if rectify else y
        ctx.save_for_backward(centred, scale)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.receive(dy.contiguous(), *ctx.saved_tensors), None, None, None, None, None


def _scaled(h: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    """y and (h - mean) / deviation, both (R, B, H); 1 / deviation, mean and variance, each (R, 1, H)."""
    if in_registers(h, gain, shift):
        h, gain, shift = h.contiguous(), gain.contiguous(), shift.contiguous()
        y, centred, *rows = (torch.empty_like(like) for like in (h, h, gain, gain, gain))
        _call(forward_part(moves=False, rectify=False), [h, y, centred], [gain, shift, *rows])
        return y, centred, *rows
    mean = h.mean(dim=1, keepdim=True)
    centred = h - mean
    variance = (centred * centred).mean(dim=1, keepdim=True)
    scale = torch.rsqrt(variance + EPS)
    centred = centred.mul_(scale)
    return torch.addcmul(shift, centred, gain), centred, scale, mean, variance


def _call(
    of_one_run: Compiled, matrices: list[Tensor], rows: list[Tensor], numbers: Tensor | None = None
) -> None:
    """For every run, on (R, B, H) and (R, 1, H) tensors without gaps, the only ones that it can read: ValueError."""
    runs, height, width = matrices[0].shape
    for like, tensors in (((runs, height, width), matrices), ((runs, 1, width), rows)):
        if not all(t.shape == like and t.is_contiguous() for t in tensors):
            raise ValueError(f"a kernel takes tensors {like} without gaps only")
    beside = (0, 0) if numbers is None else (numbers.data_ptr(), FLOAT * numbers.stride(0))
    _kernel(of_one_run)(runs, height, width, *beside, *(t.data_ptr() for t in (*matrices, *rows)))


@dataclass(frozen=True)
class _Panel:
    """Columns of a run that are worked on together. matrices and rows: the addresses where they begin there; beside and numbers: of the run;
    column: bytes from the start of a row; masks: the lanes that there are in each of the vectors side by side, None for all.
    """

    code: Code
    height: ir.Value
    row_bytes: ir.Value
    matrices: list[ir.Value]
    rows: list[ir.Value]
    beside: ir.Value
    numbers: list[Vector]
    column: ir.Value
    masks: list[ir.Value | None]

    def each(self, address: ir.Value) -> Sums:
        """The vectors there, side by side."""
        return [
            self.code.load(place, mask)
            for place, mask in zip(self._side_by_side(address), self.masks, strict=True)
        ]

    def put(self, vectors: Sums, address: ir.Value) -> None:
        for vector, place, mask in zip(vectors, self._side_by_side(address), self.masks, strict=True):
            self.code.store(vector, place, mask)

    def end(self, product: Product, vectors: Sums, rows: Sequence[ir.Value]) -> None:
        """Hand sums to what becomes of them in a product with these operands."""
        columns = self._side_by_side(self.column)
        operands = zip(*map(self._side_by_side, rows), strict=True)
        for vector, own, column, mask in zip(vectors, operands, columns, self.masks, strict=True):
            place = Place(own, column, self.beside, self.numbers, mask)
            place.store(self.code, product.end(self.code, vector, place))

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
            following += [code.at(down, self.row_bytes), *(vector.value for line in found for vector in line)]
        return [[Vector(code, v) for v in flat[i * width : (i + 1) * width]] for i in range(sums)]

    def _side_by_side(self, address: ir.Value) -> list[ir.Value]:
        return [self.code.at(address, self.code.int(VECTOR * j)) for j in range(len(self.masks))]


def _written(matrices: int, rows: int, body: Callable[[_Panel], None], numbers: int = 0) -> Compiled:
    """A function of a run's number, height, width, the address of the first run's numbers and the bytes between them, and the addresses of
    (R, height, width) and (R, 1, width) tensors.
    """

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        run, height, width, beside, apart, *starts = arguments
        row_bytes = code.times(width, FLOAT)
        size = code.times(row_bytes, height)
        own = code.at(beside, code.times(apart, run))
        taken = [code.number(code.at(own, code.int(FLOAT * i))) for i in range(numbers)]

        def panel(first: ir.Value, vectors: int, tail: ir.Value | None) -> None:
            column = code.times(first, FLOAT)
            there = [
                code.at(start, code.times(size if i < matrices else row_bytes, run), column)
                for i, start in enumerate(starts)
            ]
            masks = [*[None] * (vectors - 1), None if tail is None else code.first_lanes(tail)]
            split = there[:matrices], there[matrices:]
            body(_Panel(code, height, row_bytes, *split, own, taken, column, masks))

        code.across(width, _SIDE_BY_SIDE, panel)

    return compiled(write, 5 + matrices + rows)


@cache
def _kernel(of_one_run: Compiled) -> Callable[..., None]:
    return over_runs(of_one_run)


@cache
def forward_part(*, moves: bool, rectify: bool) -> Compiled:
    """Of matrices h, y, centred and rows gain, shift, scale, mean, variance; moves: these two are running ones."""

    def body(panel: _Panel) -> None:
        code, (gain, shift, *kept) = panel.code, panel.rows
        share = 1 / code.whole(panel.height)

        def summed(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            return [[s + h for s, h in zip(sums[0], panel.each(at[0]), strict=True)]]

        mean = [s * share for s in panel.down(1, summed)[0]]

        def squared(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            away = [h - m for h, m in zip(panel.each(at[0]), mean, strict=True)]
            return [[s + d * d for s, d in zip(sums[0], away, strict=True)]]

        variance = [s * share for s in panel.down(1, squared)[0]]
        scale = [1 / (v + EPS).sqrt() for v in variance]
        gains, shifts = panel.each(gain), panel.each(shift)

        def scaled(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            h, y, centred = at
            found = [(h - m) * s for h, m, s in zip(panel.each(h), mean, scale, strict=True)]
            panel.put(found, centred)
            found = [c * g + b for c, g, b in zip(found, gains, shifts, strict=True)]
            panel.put([v.zero_where("<", v) for v in found] if rectify else found, y)
            return []

        panel.down(0, scaled)
        moments = [mean, variance]
        if moves:
            correction = code.whole(panel.height) / code.whole(code.at(panel.height, code.int(-1)))
            seen = [mean, [v * correction for v in variance]]
            moments = [
                [k + (s - k) * RUNNING_WEIGHT for k, s in zip(panel.each(row), new, strict=True)]
                for row, new in zip(kept[1:], seen, strict=True)
            ]
        for vectors, row in zip((scale, *moments), kept, strict=True):
            panel.put(vectors, row)

    return _written(3, 5, body)


@cache
def evaluation_part(*, rectify: bool) -> Compiled:
    """Of matrices h and y and rows gain, shift, mean and variance."""

    def body(panel: _Panel) -> None:
        gain, shift, mean, variance = map(panel.each, panel.rows)
        factor = [g * (1 / (v + EPS).sqrt()) for g, v in zip(gain, variance, strict=True)]

        def scaled(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            parts = zip(panel.each(at[0]), mean, factor, shift, strict=True)
            found = [(h - m) * f + b for h, m, f, b in parts]
            panel.put([v.zero_where("<", v) for v in found] if rectify else found, at[1])
            return []

        panel.down(0, scaled)

    return _written(2, 4, body)


@cache
def sums_part() -> Compiled:
    """Of matrices dy and centred and rows for the gradients of gain and shift."""

    def body(panel: _Panel) -> None:
        for vectors, row in zip(_sums_of_slopes(panel), panel.rows, strict=True):
            panel.put(vectors, row)

    return _written(2, 2, body)


def _sums_of_slopes(panel: _Panel) -> list[Sums]:
    """Down the columns of its first two matrices: slopes times normalised rows, and slopes."""

    def summed(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
        dy, centred = panel.each(at[0]), panel.each(at[1])
        return [
            [s + d * c for s, d, c in zip(sums[0], dy, centred, strict=True)],
            [s + d for s, d in zip(sums[1], dy, strict=True)],
        ]

    return panel.down(2, summed)


@cache
def backward_part(update: Product | None) -> Compiled:
    """Of matrices dy, centred, dh and rows scale, gain, its gradient, that of shift; or, in an update, scale and the operands of both."""
    count = update.operands if update else 1

    def body(panel: _Panel) -> None:
        scale, *others = panel.rows
        share = 1 / panel.code.whole(panel.height)

        found = _sums_of_slopes(panel)
        along, away = ([s * share for s in sums] for sums in found)
        factor = [g * s for g, s in zip(panel.each(others[0]), panel.each(scale), strict=True)]

        def moved(at: Sequence[ir.Value], sums: list[Sums]) -> list[Sums]:
            parts = zip(panel.each(at[0]), panel.each(at[1]), along, away, factor, strict=True)
            panel.put([(d - c * a - b) * f for d, c, a, b, f in parts], at[2])
            return []

        panel.down(0, moved)
        if update is None:
            for vectors, row in zip(found, others[1:], strict=True):
                panel.put(vectors, row)
        else:
            for vectors, rows in zip(found, (others[:count], others[count:]), strict=True):
                panel.end(update, vectors, rows)

    numbers = update.numbers if update else 0
    return _written(3, 1 + (2 * count if update else 3), body, numbers)
