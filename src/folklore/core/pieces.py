"""The larger of two pieces (maxout; Goodfellow et al. 2013): the halves of the last axis, (R, B, 2 H) to (R, B, H).

Its gradient goes to the larger one, and is shared equally by equals, as that of torch.maximum is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import select
from folklore.core.machine_code import FLOAT, Code


def larger(h: Tensor) -> Tensor:
    return _Larger.apply(h)


class _Larger(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        rows, units = h.shape[:-1], h.shape[-1] // 2
        if in_registers(h):
            h, found = h.contiguous(), h.new_empty(*rows, units)
            share = torch.empty_like(found)
            larger_part().call(0, rows.numel(), units, *(t.data_ptr() for t in (h, found, share)))
        else:
            first, second = h.chunk(2, dim=-1)
            share = (first - second).sign_().add_(1).mul_(0.5)  # 1, 1/2 or 0
            found = torch.maximum(first, second)
        ctx.save_for_backward(share)
        return found

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        if in_registers(slope, share):
            slope, found = slope.contiguous(), slope.new_empty(*slope.shape[:-1], 2 * slope.shape[-1])
            rows = slope.shape[:-1].numel()
            shared_part().call(0, rows, slope.shape[-1], *(t.data_ptr() for t in (slope, share, found)))
            return found
        first = slope * share
        return torch.cat([first, slope - first], dim=-1)


@cache
def larger_part() -> Compiled:
    """Of a run's number (not used), rows, units, and the addresses of both pieces, of the larger, and of the first one's share in its slopes."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, pieces, found, share = given
        width = code.times(units, FLOAT)

        def each(row: ir.Value, before: ir.Value, mask: ir.Value | None) -> None:
            down = code.times(width, row)
            place = code.at(pieces, down, down, before)
            first, second = code.load(place, mask), code.load(code.at(place, width), mask)
            away = first - second
            # the middle of equals is theirs, and of what cannot be compared it is no number
            value = select(">", away, 0.0, first, select("<", away, 0.0, second, (first + second) * 0.5))
            code.store(value, code.at(found, down, before), mask)
            part = select(">", away, 0.0, 1.0, select("<", away, 0.0, 0.0, 0.5))
            code.store(part, code.at(share, down, before), mask)

        code.by_row(rows, units, each)

    return compiled(write, 6)


@cache
def shared_part() -> Compiled:
    """The way back, of a run's number (not used), rows, units, and the addresses of slopes of the larger, shares, and slopes of the pieces."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, slopes, share, found = given
        width = code.times(units, FLOAT)

        def each(row: ir.Value, before: ir.Value, mask: ir.Value | None) -> None:
            down = code.times(width, row)
            slope = code.load(code.at(slopes, down, before), mask)
            first = slope * code.load(code.at(share, down, before), mask)
            place = code.at(found, down, down, before)
            code.store(first, place, mask)
            code.store(slope - first, code.at(place, width), mask)

        code.by_row(rows, units, each)

    return compiled(write, 6)
