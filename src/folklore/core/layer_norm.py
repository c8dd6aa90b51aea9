"""Layer normalisation (Ba et al. 2016): each row by the moments of its own units. On a processor vector code, a pass a row, elsewhere torch.

The sums of gain and shift go down the rows in order, as those of batch norm do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.batch_norm import EPS, sums_of_slopes
from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import chosen
from folklore.core.machine_code import FLOAT, Code, Vector


def normalised(h: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """h (R, B, H) times gain plus shift (R, 1, H), each row by its own moments."""
    if in_registers(h, gain, shift):
        return _Normalised.apply(h, gain, shift)
    found = torch.nn.functional.layer_norm(h, h.shape[-1:], eps=EPS)
    return torch.addcmul(shift, found, gain)


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        h, gain, shift = h.contiguous(), gain.contiguous(), shift.contiguous()
        y, centred, scale = torch.empty_like(h), torch.empty_like(h), h.new_empty(*h.shape[:2], 1)
        _for_runs(forward_part(rectify=False), h, y, centred, scale, gain, shift)
        ctx.save_for_backward(centred, scale, gain)
        return y

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dy, (centred, scale, gain) = dy.contiguous(), ctx.saved_tensors
        dh = torch.empty_like(dy)
        _for_runs(backward_part(), dy, centred, dh, scale, gain)
        return dh, *sums_of_slopes(dy, centred)


def _for_runs(part: Compiled, *tensors: Tensor) -> None:
    """Call it for every run with rows, units, and its addresses."""
    _, rows, units = tensors[0].shape
    for addresses in zip(*([run.data_ptr() for run in t] for t in tensors), strict=True):
        part.call(0, rows, units, *addresses)


@cache
def forward_part(*, rectify: bool) -> Compiled:
    """Of a run's number (not used), rows, units, and the addresses of h, y, centred (rows, units), scale (rows, 1), gain and shift."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, h, y, centred, scale, gain, shift = given
        share = 1 / code.whole(units)
        with code.counting(code.int(0), rows, 1) as row:
            read, out, put = (
                code.at(start, code.times(code.times(units, FLOAT), row)) for start in (h, y, centred)
            )
            (total,) = code.summed(units, 1, lambda before, mask: [code.load(code.at(read, before), mask)])
            mean = total * share

            def squared(before: ir.Value, mask: ir.Value | None) -> list[Vector]:
                away = code.load(code.at(read, before), mask) - mean
                away = away if mask is None else chosen(mask, away, code.vector(0))
                return [away * away]

            (total,) = code.summed(units, 1, squared)
            factor = 1 / (total * share + EPS).sqrt()
            code.store(factor, code.at(scale, code.times(row, FLOAT)), code.first_lanes(code.int(1)))

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                found = (code.load(code.at(read, before), mask) - mean) * factor
                code.store(found, code.at(put, before), mask)
                found = found * code.load(code.at(gain, before), mask) + code.load(
                    code.at(shift, before), mask
                )
                code.store(found.zero_where("<", found) if rectify else found, code.at(out, before), mask)

            code.along(units, each)

    return compiled(write, 9)


@cache
def backward_part() -> Compiled:
    """Of a run's number (not used), rows, units, and the addresses of dy, centred, dh (rows, units), scale (rows, 1) and gain."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, units, dy, centred, dh, scale, gain = given
        share = 1 / code.whole(units)
        with code.counting(code.int(0), rows, 1) as row:
            above, own, out = (
                code.at(start, code.times(code.times(units, FLOAT), row)) for start in (dy, centred, dh)
            )

            def parts(before: ir.Value, mask: ir.Value | None) -> list[Vector]:
                slope = code.load(code.at(above, before), mask) * code.load(code.at(gain, before), mask)
                return [slope, slope * code.load(code.at(own, before), mask)]

            away, along = (total * share for total in code.summed(units, 2, parts))
            factor = code.number(code.at(scale, code.times(row, FLOAT)))

            def each(before: ir.Value, mask: ir.Value | None) -> None:
                slope, _ = parts(before, mask)
                found = slope - code.load(code.at(own, before), mask) * along - away
                code.store(found * factor, code.at(out, before), mask)

            code.along(units, each)

    return compiled(write, 8)
