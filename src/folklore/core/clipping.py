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
from folklore.core.elementary import chosen, select
from folklore.core.machine_code import FLOAT, Code, Compiled, Vector, compiled, over_runs

_BESIDE = 1e-6  # the norm, as torch has it


def clip_(gradients: Sequence[Tensor], largest: Tensor) -> None:
    """In place: gradients (R, ...) of all parameters, in order, to the norm `largest` (R, 1, 1) where a run's is above it; 0: left alone."""
    first, *others = (_squares(g) for g in gradients)
    total = sum(others, start=first).view(-1, 1, 1)
    share = (largest / (total.sqrt() + _BESIDE)).clamp(max=1.0)
    scale = torch.where(largest > 0, share, torch.ones_like(share))
    for g in gradients:
        g.mul_(scale)


def _squares(g: Tensor) -> Tensor:
    """Their sum, (R,)."""
    if not in_registers(g):
        return g.flatten(1).square().sum(dim=1)
    g, found = g.contiguous(), g.new_empty(len(g))
    _kernel()(len(g), g[0].numel(), g.data_ptr(), found.data_ptr())
    return found


@cache
def _kernel() -> Callable[..., None]:
    return over_runs(squares_part())


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
    """Of a run's number (not used), how many sums of squares, their address, those of the largest norm and of what to multiply gradients by."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, count, squares, largest, out = given
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
