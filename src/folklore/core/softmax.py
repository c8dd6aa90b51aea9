"""Softmax and cross-entropy of one run as vector code: a row of logits is one vector, so there are at most LANES classes.

Sums over a row are a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from llvmlite import ir

from folklore.core.compilation import Compiled, compiled
from folklore.core.elementary import INTS, chosen, exponential, logarithm, select
from folklore.core.machine_code import FLOAT, INTEGER, LANES, Code, Vector

_INT = ir.IntType(32)
# rows that are read before any is written, for a load behind a masked store waits for it: 1, 2, 4, 8, 32 rows of 10 take 1.3, 1.1, .85, .57 us
_AT_ONCE = 8


@dataclass(frozen=True)
class _Row:
    """A row of logits. right: the lane of the label; weights: what they add up to a `whole` of, softmax; whole and loss: in all lanes."""

    logits: Vector
    right: ir.Value
    weights: Vector
    whole: Vector
    loss: Vector


def _row(code: Code, at: ir.Value, label_at: ir.Value, mask: ir.Value) -> _Row:
    label = code.splat(code.builder.trunc(code.integer(label_at), _INT), _INT)
    right = code.builder.icmp_signed("==", _lanes(), label)
    logits = chosen(mask, code.load(at, mask), code.vector(float("-inf")))
    shifted = logits - code.over_lanes(logits, _larger)
    weights = exponential(shifted)
    whole, picked = code.over_lanes(weights), code.over_lanes(chosen(right, shifted, code.vector(0)))
    # the logarithm takes a NaN for a number, this difference does not
    return _Row(logits, right, weights, whole, logarithm(whole) - picked + (whole - whole))


def _lanes() -> ir.Constant:
    return ir.Constant(INTS, list(range(LANES)))


def _starts(code: Code, run: ir.Value, rows: ir.Value, classes: ir.Value, *first: ir.Value) -> list[ir.Value]:
    """Where a run's logits, labels and single numbers begin."""
    of_rows = code.times(code.times(classes, FLOAT), rows), code.times(rows, INTEGER)
    sizes = *of_rows, *[code.int(FLOAT)] * (len(first) - 2)
    return [code.at(at, code.times(n, run)) for at, n in zip(first, sizes, strict=True)]


@cache
def cross_entropy_part() -> Compiled:
    """Of a run's number, rows, classes, and the addresses of logits (R, rows, classes), labels (R, rows) int64 and losses (R,).

    Afterwards the logits are the loss's gradient by them. See `folklore.core.losses.cross_entropy_slope`.
    """

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        run, rows, classes, *first = arguments
        logits, labels, loss = _starts(code, run, rows, classes, *first)
        share, mask = 1 / code.whole(rows), code.first_lanes(classes)
        one, zero = code.vector(1), code.vector(0)
        left, size, at = rows, code.times(classes, FLOAT), [logits, labels, zero.value]
        for together in (_AT_ONCE, 1):
            times = code.builder.sdiv(left, code.int(together))
            with code.repeating(times, at) as (at, following):
                row, label_at, total = at
                places = [code.at(row, code.times(size, i)) for i in range(together)]
                found = [
                    _row(code, place, code.at(label_at, code.int(INTEGER * i)), mask)
                    for i, place in enumerate(places)
                ]
                for place, each in zip(places, found, strict=True):
                    slopes = each.weights / each.whole - chosen(each.right, one, zero)
                    code.store(slopes * share, place, mask)
                following += [
                    code.at(row, code.times(size, together)),
                    code.at(label_at, code.int(INTEGER * together)),
                ]
                following.append(sum((each.loss for each in found), Vector(code, total)).value)
            left = code.minus(left, code.times(times, together))
        code.store(Vector(code, at[2]) * share, loss, code.first_lanes(code.int(1)))

    return compiled(write, 6)


@cache
def scores_part() -> Compiled:
    """Of a run's number, rows, classes, and the addresses of logits (R, rows, classes), labels (R, rows) int64, losses (R,) and how many rows
    are right (R,), a float: those whose label has the largest logit, the first of equal ones. See `folklore.core.losses.scored`.
    """

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        run, rows, classes, *first = arguments
        logits, labels, loss, right = _starts(code, run, rows, classes, *first)
        share, mask, builder = 1 / code.whole(rows), code.first_lanes(classes), code.builder
        one, zero = code.vector(1), code.vector(0)
        with code.repeating(rows, [logits, labels, zero.value, zero.value]) as (at, following):
            row, label_at, total, count = at
            found = _row(code, row, label_at, mask)
            own = code.over_lanes(chosen(found.right, found.logits, zero))
            label = code.splat(builder.trunc(code.integer(label_at), _INT), _INT)
            # unordered: a NaN anywhere is wrong
            above = builder.fcmp_unordered(">", found.logits.value, own.value)
            equal = builder.fcmp_ordered("==", found.logits.value, own.value)
            before = builder.and_(equal, builder.icmp_signed("<", _lanes(), label))
            others = code.over_lanes(chosen(builder.or_(above, before), one, zero))
            following += [code.at(row, code.times(classes, FLOAT)), code.at(label_at, code.int(INTEGER))]
            following.append((Vector(code, total) + found.loss).value)
            following.append((Vector(code, count) + select(">", others, 0.0, 0.0, 1.0)).value)
        first_lane = code.first_lanes(code.int(1))
        code.store(Vector(code, total) * share, loss, first_lane)
        code.store(Vector(code, count), right, first_lane)

    return compiled(write, 7)


def _larger(a: Vector, b: Vector) -> Vector:
    return chosen(a.code.builder.fcmp_ordered(">", a.value, b.value), a, b)
