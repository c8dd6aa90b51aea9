"""Activations of single numbers as vector code, values and slopes in one pass.

An activation's level, called once with a `_Number` in the place of a tensor, writes the code: torch hands its functions on to what RULES has for
them. A level that does more, as maxout does, is called with tensors, for its slopes by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from llvmlite import ir
from torch import Tensor
from torch.nn import functional

from folklore.core.affine import in_registers
from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import (
    absolute,
    exponential,
    exponential_less_one,
    logarithm_of_one_more,
    select,
)
from folklore.core.machine_code import Code, Vector, new_code

Level = Callable[[Any], Any]


def curved(level: Level, h: Tensor) -> Tensor:
    """The level on h; in float32 on a processor by its code, if it can be written."""
    return _Curved.apply(h, level) if in_registers(h) and writes(level) else level(h)


@cache
def writes(level: Level) -> bool:
    """Whether a level does no more than there are rules for."""
    try:
        level(_Number(new_code().vector(0.0), 1.0))
    except (TypeError, AttributeError):
        return False
    return True


@cache
def curve_part(level: Level, *, slopes: bool = True) -> Compiled:
    """Of a run's number (not used), how many numbers there are, and their address, that of values and, if they are wanted, that of slopes."""

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        _, count, *starts = arguments

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            given, *places = (code.at(start, before) for start in starts)
            found = level(_Number(code.load(given, mask), 1.0))
            for vector, place in zip((found.value, code.vector(found.slope)), places, strict=False):
                code.store(vector, place, mask)

        code.along(count, each)

    return compiled(write, 5 if slopes else 4)


class _Curved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h: Tensor, level: Level) -> Tensor:
        h = h.contiguous()
        found, slope = torch.empty_like(h), torch.empty_like(h)
        curve_part(level).call(0, h.numel(), h.data_ptr(), found.data_ptr(), slope.data_ptr())
        ctx.save_for_backward(slope)
        return found

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return dy * slope, None


class _Number:
    """A number of code that is being written, and its slope by the number that the code is given."""

    def __init__(self, value: Vector, slope: Vector | float) -> None:
        self.value, self.slope = value, slope

    def __add__(self, other: float) -> _Number:
        return _Number(self.value + _plain(other), self.slope)

    def __sub__(self, other: float) -> _Number:
        return _Number(self.value - _plain(other), self.slope)

    def __mul__(self, other: float) -> _Number:
        return _Number(self.value * _plain(other), self.slope * _plain(other))

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        rule = RULES.get(function)
        if rule is None:
            raise TypeError(f"no code for {function}")
        number, *others = arguments
        value, slope = rule(number.value, *others, **keywords or {})
        return cls(value, number.value.code.vector(slope) * number.slope)


def _plain(other: object) -> float:
    if not isinstance(other, int | float):
        raise TypeError(f"no code for {type(other)}")
    return other


def _sigmoid(x: Vector) -> tuple[Vector, Vector]:
    e = exponential(_below(absolute(x)))
    value = select(">=", x, 0.0, 1 / (e + 1), e / (e + 1))
    return value, value * (1 - value)


def _tanh(x: Vector) -> tuple[Vector, Vector]:
    e = exponential_less_one(absolute(x) * -2.0)
    size = _below(e) / (e + 2)
    value = select(">=", x, 0.0, size, _below(size))
    return value, 1 - value * value


def _leaky_relu(x: Vector, negative_slope: float, inplace: bool) -> tuple[Vector, Vector]:
    return select(">", x, 0.0, x, x * negative_slope), select(">", x, 0.0, 1.0, x.code.vector(negative_slope))


def _elu(x: Vector, alpha: float, inplace: bool) -> tuple[Vector, Vector]:
    less = exponential_less_one(select(">", x, 0.0, 0.0, x))
    return select(">", x, 0.0, x, less * alpha), select(">", x, 0.0, 1.0, (less + 1) * alpha)


def _softplus(x: Vector) -> tuple[Vector, Vector]:
    more = logarithm_of_one_more(exponential(_below(absolute(x))))
    return x.zero_where("<=", x) + more, _sigmoid(x)[0]


def _below(x: Vector) -> Vector:
    return 0.0 - x


RULES: dict[Callable, Callable[..., tuple[Vector, Vector]]] = {
    torch.sigmoid: _sigmoid,
    torch.tanh: _tanh,
    functional.leaky_relu: _leaky_relu,
    functional.elu: _elu,
    functional.softplus: _softplus,
}
