"""What is done to each number alone, as vector code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from llvmlite import ir

from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import absolute, select
from folklore.core.machine_code import FLOAT, Code, Vector


@cache
def rectified_part() -> Compiled:
    """Of a run's number (not used), how many numbers, and the addresses of numbers, of others, and of the result: zero where these are not above."""
    return _each(2, lambda h, other: h.zero_where("<=", other))


@cache
def sum_part() -> Compiled:
    """Of a run's number (not used), how many numbers, the addresses of numbers, of what is added to them, and of the result."""
    return _each(2, lambda a, b: a + b)


@cache
def zero_part() -> Compiled:
    """Of a run's number (not used), how many numbers, and their address: they become zero."""
    return _each(0, lambda: 0.0)


@cache
def softening_part() -> Compiled:
    """Of a run's number (not used), how many weights, their address, and that of what each comes nearer to zero by, but not beyond."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, count, weights, by = given
        threshold = code.number(by)

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            place = code.at(weights, before)
            w = code.load(place, mask)
            size = absolute(w) - threshold
            size = size.zero_where("<", size)
            code.store(select(">", w, 0.0, size, select("<", w, 0.0, size * -1.0, w * size)), place, mask)

        code.along(count, each)

    return compiled(write, 4)


@cache
def times_part() -> Compiled:
    """Of a run's number (not used), rows, columns, the addresses of a matrix and of factors, bytes between the rows of these, and the result's."""

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, rows, columns, matrix, factors, apart, out = given
        width = code.times(columns, FLOAT)

        def each(row: ir.Value, before: ir.Value, mask: ir.Value | None) -> None:
            down, across = code.times(width, row), code.times(apart, row)
            found = code.load(code.at(matrix, down, before), mask)
            found *= code.load(code.at(factors, across, before), mask)
            code.store(found, code.at(out, down, before), mask)

        code.by_row(rows, columns, each)

    return compiled(write, 7)


def _each(operands: int, function: Callable[..., Vector | float]) -> Compiled:
    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, count, *sources, out = given

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            found = function(*(code.load(code.at(source, before), mask) for source in sources))
            code.store(code.vector(found), code.at(out, before), mask)

        code.along(count, each)

    return compiled(write, 3 + operands)
