"""Gradients scaled down to a largest norm, all parameters of a run together, as `torch.nn.utils.clip_grad_norm_` does it.

Squares are summed parameter by parameter, in the order of `Parameters.trained`, on a processor by vector code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from llvmlite import ir
from torch import Tensor

from folklore.core.affine import in_registers
from folklore.core.compilation import Compiled, compiled, over_runs
from folklore.core.elementary import chosen, select
from folklore.core.machine_code import FLOAT, Code, Vector

_BESIDE = 1e-6  # the norm, as torch has it


def clip_(gradients: Sequence[Tensor], largest: Tensor) -> None:
    """In place: gradients (R, ...) of all parameters, in order, to the norm `largest` (R, 1, 1) where a run's is above it; 0: left alone."""
    squares = torch.stack([_squares(g) for g in gradients], dim=1)
    scale = _scale(squares, largest)
    for g in gradients:
        g.mul_(scale)


def _scale(squares: Tensor, largest: Tensor) -> Tensor:
    """(R, 1, 1) of sums of squares (R, parameters)."""
    if in_registers(squares, largest):
        squares, largest = squares.contiguous(), largest.contiguous()
        scale = torch.empty_like(largest)
        _scale_kernel()(*squares.shape, squares.data_ptr(), largest.data_ptr(), scale.data_ptr())
        return scale
    share = (largest / (squares.sum(dim=1).sqrt().view(-1, 1, 1) + _BESIDE)).clamp(max=1.0)
    return torch.where(largest > 0, share, torch.ones_like(share))


def _squares(g: Tensor) -> Tensor:
    """Their sum, (R,)."""
    if not in_registers(g):
        return g.flatten(1).square().sum(dim=1)
    g, found = g.contiguous(), g.new_empty(len(g))
    _squares_kernel()(len(g), g[0].numel(), g.data_ptr(), found.data_ptr())
    return found


@cache
def _squares_kernel() -> Callable[..., None]:
    return over_runs(squares_part())


@cache
def _scale_kernel() -> Callable[..., None]:
    return over_runs(scale_part())


@cache
def squares_part() -> Compiled:
    """Of a run's number, how many numbers it has, the address of those of the first run, and that of the sums of their squares (R,)."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        run, count, numbers, out = given
        own = code.at(numbers, code.times(code.times(count, FLOAT), run))

        def each(before: ir.Value, mask: ir.Value | None) -> list[Vector]:
            g = code.load(code.at(own, before), mask)
            return [g * g]

        (total,) = code.summed(count, 1, each)
        _store_one(code, total, code.at(out, code.times(run, FLOAT)))

    return compiled(write, 4)


@cache
def scale_part() -> Compiled:
    """Of a run's number, how many sums of squares, their address (R, count), those of the largest norm (R,) and of what to multiply gradients
    by (R,): 1 where the norm is not above the largest one, or this is 0.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        run, count, *first = given
        sizes = code.times(count, FLOAT), code.int(FLOAT), code.int(FLOAT)
        squares, largest, out = (code.at(at, code.times(n, run)) for at, n in zip(first, sizes, strict=True))
        start = [code.at(squares, code.int(FLOAT)), code.number(squares).value]
        with code.repeating(code.at(count, code.int(-1)), start) as ((place, total), following):
            following += [code.at(place, code.int(FLOAT)), (Vector(code, total) + code.number(place)).value]
        limit = code.number(largest)
        share = limit / (Vector(code, total).sqrt() + _BESIDE)
        share = select(">", share, 1.0, 1.0, share)
        clips = code.builder.fcmp_ordered(">", limit.value, code.vector(0).value)
        _store_one(code, chosen(clips, share, code.vector(1)), out)

    return compiled(write, 5)


def _store_one(code: Code, number: Vector, address: ir.Value) -> None:
    code.store(number, address, code.first_lanes(code.int(1)))
