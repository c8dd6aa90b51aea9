"""Rows that are positions of samples, (R, B * L, C): windows of neighbours laid side by side, skips between lengths, means.

A convolution is the affine map of the windows of KERNEL positions. On a processor all of it is vector code, forward and backward, elsewhere
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.compilation import Compiled, compiled
from folklore.core.machine_code import FLOAT, Code, Vector

KERNEL = 3


def halved(length: int, stride: int) -> int:
    """Positions that are left when every `stride`-th is taken."""
    return -(-length // stride)


def windows(h: Tensor, length: int, stride: int) -> Tensor:
    """(R, B * L, C) to (R, B * L', KERNEL * C): what lies around every `stride`-th position, zeros beyond the ends."""
    return _Windows.apply(h, length, stride)


def mean(h: Tensor, length: int) -> Tensor:
    """(R, B * L, C) to (R, B, C)."""
    return _Mean.apply(h, length)


def every(h: Tensor, length: int, stride: int) -> Tensor:
    """Every `stride`-th position, (R, B * L', C)."""
    return h if stride == 1 else h.unflatten(1, (-1, length))[:, :, ::stride].flatten(1, 2)


class _Windows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor, length: int, stride: int) -> Tensor:
        ctx.shape, ctx.length, ctx.stride = h.shape, length, stride
        (runs, rows, channels), out = h.shape, halved(length, stride)
        if in_registers(h):
            h, found = h.contiguous(), h.new_empty(runs, rows // length * out, KERNEL * channels)
            sizes = runs * rows // length, length, channels, out
            windows_part(stride).call(0, *sizes, h.data_ptr(), found.data_ptr())
            return found
        padded = h.new_zeros(runs, rows // length, length + KERNEL - 1, channels)
        padded[:, :, KERNEL // 2 : KERNEL // 2 + length] = h.unflatten(1, (-1, length))
        return padded.unfold(2, KERNEL, stride).transpose(-1, -2).flatten(-2).flatten(1, 2)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor, None, None]:
        (runs, rows, channels), length, stride = ctx.shape, ctx.length, ctx.stride
        out = halved(length, stride)
        if in_registers(slopes):
            slopes, found = slopes.contiguous(), slopes.new_empty(ctx.shape)
            sizes = runs * rows // length, length, channels, out
            folded_part(stride).call(0, *sizes, slopes.data_ptr(), found.data_ptr())
            return found, None, None
        found = slopes.new_zeros(runs, rows // length, length + KERNEL - 1, channels)
        last = stride * (out - 1) + 1
        for k, part in enumerate(slopes.unflatten(1, (-1, out)).split(channels, dim=-1)):
            found[:, :, k : k + last : stride] += part
        return found[:, :, KERNEL // 2 : KERNEL // 2 + length].flatten(1, 2), None, None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor, length: int) -> Tensor:
        ctx.shape, ctx.length = h.shape, length
        runs, rows, channels = h.shape
        if in_registers(h):
            h, found = h.contiguous(), h.new_empty(runs, rows // length, channels)
            sizes = runs * rows // length, length, channels
            mean_part().call(0, *sizes, h.data_ptr(), found.data_ptr())
            return found
        return h.unflatten(1, (-1, length)).mean(dim=2)

    @staticmethod
    def backward(ctx, slopes: Tensor) -> tuple[Tensor, None]:
        (runs, rows, channels), length = ctx.shape, ctx.length
        if in_registers(slopes):
            slopes, found = slopes.contiguous(), slopes.new_empty(ctx.shape)
            sizes = runs * rows // length, length, channels
            spread_part().call(0, *sizes, slopes.data_ptr(), found.data_ptr())
            return found, None
        share = slopes * (1 / length)
        return share.unsqueeze(2).expand(-1, -1, length, -1).reshape(ctx.shape), None


@cache
def windows_part(stride: int) -> Compiled:
    """Of a run's number (not used), samples, positions, channels, positions of the result, and the addresses of both."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, channels, out, h, found = given
        row, whole = code.times(channels, FLOAT), code.times(channels, KERNEL)
        with code.counting(code.int(0), samples, 1) as sample, code.counting(code.int(0), out, 1) as position:
            # the rows of neighbours lie side by side already: a window is one piece of memory, but for what is beyond an end
            first = code.at(code.times(position, stride), code.int(-(KERNEL // 2)))
            read = code.at(h, code.times(code.at(code.times(sample, length), first), row))
            put = code.at(
                found, code.times(code.at(code.times(sample, out), position), code.times(whole, FLOAT))
            )
            before, behind = (
                code.times(first, code.times(channels, -1)),
                code.times(code.minus(length, first), channels),
            )

            def each(bytes_before: ir.Value, mask: ir.Value | None) -> None:
                column = code.builder.sdiv(bytes_before, code.int(FLOAT))
                there = code.lanes(code.minus(before, column), code.minus(behind, column))
                there = there if mask is None else code.builder.and_(there, mask)
                code.store(code.load(code.at(read, bytes_before), there), code.at(put, bytes_before), mask)

            code.along(whole, each)

    return compiled(write, 7)


@cache
def folded_part(stride: int, *, rectified: bool = False) -> Compiled:
    """The way back, of the same sizes, and the addresses of slopes of windows and of positions; rectified: and of the positions, after ReLU.

    Then slopes are zero where these are not above it.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, channels, out, slopes, found, *values = given
        row = code.times(channels, FLOAT)
        with (
            code.counting(code.int(0), samples, 1) as sample,
            code.counting(code.int(0), length, 1) as position,
        ):
            own = code.times(code.at(code.times(sample, length), position), row)
            parts = [_part(code, position, k, stride, out) for k in range(KERNEL)]
            first = code.times(code.times(sample, out), code.times(row, KERNEL))
            reads = [
                (
                    code.at(slopes, first, code.times(code.at(code.times(window, KERNEL), code.int(k)), row)),
                    there,
                )
                for k, (window, there) in enumerate(parts)
            ]

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                total = code.vector(0)
                for read, there in reads:
                    total = total + code.load(code.at(read, before), code.only_if(there, mask))
                for value in values:
                    total = total.zero_where("<=", code.load(code.at(value, own, before), mask))
                code.store(total, code.at(found, own, before), mask)

            code.along(channels, each)

    return compiled(write, 8 if rectified else 7)


def _part(code: Code, position: ir.Value, k: int, stride: int, out: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Of which window a position is part k, and whether there is such a window."""
    builder = code.builder
    start = code.at(position, code.int(KERNEL // 2 - k))
    window = builder.sdiv(start, code.int(stride))
    begins = builder.icmp_signed("==", code.times(window, stride), start)
    there = builder.and_(builder.icmp_signed(">=", start, code.int(0)), builder.icmp_signed("<", window, out))
    return window, builder.and_(begins, there)


@cache
def mean_part() -> Compiled:
    """Of a run's number (not used), samples, positions, channels, and the addresses of rows and of their means; summed in order."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, channels, h, found = given
        row, share = code.times(channels, FLOAT), 1 / code.whole(length)
        with code.counting(code.int(0), samples, 1) as sample:
            read, put = (
                code.at(h, code.times(code.times(sample, length), row)),
                code.at(found, code.times(sample, row)),
            )

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                start = [code.at(read, before), code.vector(0).value]
                with code.repeating(length, start) as ((place, total), following):
                    more = Vector(code, total) + code.load(place, mask)
                    following += [code.at(place, row), more.value]
                code.store(Vector(code, total) * share, code.at(put, before), mask)

            code.along(channels, each)

    return compiled(write, 6)


@cache
def spread_part() -> Compiled:
    """The way back of a mean, of the same sizes, and the addresses of slopes of means and of rows."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, channels, slopes, found = given
        row, share = code.times(channels, FLOAT), 1 / code.whole(length)
        with (
            code.counting(code.int(0), samples, 1) as sample,
            code.counting(code.int(0), length, 1) as position,
        ):
            read = code.at(slopes, code.times(sample, row))
            put = code.at(found, code.times(code.at(code.times(sample, length), position), row))

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                code.store(code.load(code.at(read, before), mask) * share, code.at(put, before), mask)

            code.along(channels, each)

    return compiled(write, 6)


@cache
def skip_part(stride: int) -> Compiled:
    """Of a run's number (not used), samples, positions, pieces, units, positions of the result, and the addresses of skip, rows, and result.

    Every `stride`-th position of the skip is added to each piece of the rows.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, pieces, units, out, skip, h, found = given
        row = code.times(units, FLOAT)
        with code.counting(code.int(0), samples, 1) as sample, code.counting(code.int(0), out, 1) as position:
            taken = code.at(code.times(sample, length), code.times(position, stride))
            read = code.at(skip, code.times(taken, row))
            first = code.times(code.at(code.times(sample, out), position), pieces)
            with code.counting(code.int(0), pieces, 1) as piece:
                own = code.times(code.at(first, piece), row)

                def each(before: ir.Value, mask: ir.Value | None) -> None:
                    added = code.load(code.at(h, own, before), mask) + code.load(code.at(read, before), mask)
                    code.store(added, code.at(found, own, before), mask)

                code.along(units, each)

    return compiled(write, 9)


@cache
def skip_back_part(stride: int) -> Compiled:
    """The way back, of the same arguments, the addresses being those of slopes of skip and rows: zero at positions that are not taken."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, samples, length, pieces, units, out, skip, h = given
        row = code.times(units, FLOAT)
        with (
            code.counting(code.int(0), samples, 1) as sample,
            code.counting(code.int(0), length, 1) as position,
        ):
            put = code.at(skip, code.times(code.at(code.times(sample, length), position), row))
            taken = code.builder.sdiv(position, code.int(stride))
            there = code.builder.icmp_signed("==", code.times(taken, stride), position)
            first = code.times(code.times(code.at(code.times(sample, out), taken), pieces), row)
            read = code.at(h, first)

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                lanes = code.only_if(there, mask)
                start = [code.at(read, before), code.vector(0).value]
                with code.repeating(pieces, start) as ((place, total), following):
                    more = Vector(code, total) + code.load(place, lanes)
                    following += [code.at(place, row), more.value]
                code.store(Vector(code, total), code.at(put, before), mask)

            code.along(units, each)

    return compiled(write, 8)
