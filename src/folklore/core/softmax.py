"""Softmax and cross-entropy of one run as vector code: a row of logits is one vector, so there are at most LANES classes.

Sums over a row are a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from llvmlite import ir

from folklore.core.elementary import INTS, chosen, exponential, logarithm
from folklore.core.machine_code import FLOAT, INTEGER, LANES, Code, Compiled, Vector, compiled

_INT = ir.IntType(32)


@cache
def cross_entropy_part() -> Compiled:
    """Of a run's number, rows, classes, and the addresses of logits (R, rows, classes), labels (R, rows) int64 and losses (R,).

    Afterwards the logits are the loss's gradient by them. See `folklore.core.losses.cross_entropy_slope`.
    """

    def write(code: Code, arguments: Sequence[ir.Value]) -> None:
        run, rows, classes, *starts = arguments
        row_bytes = code.times(classes, FLOAT)
        sizes = code.times(row_bytes, rows), code.times(rows, INTEGER), code.int(FLOAT)
        logits, labels, loss = (code.at(at, code.times(n, run)) for at, n in zip(starts, sizes, strict=True))
        share, mask = 1 / code.whole(rows), code.first_lanes(classes)
        lanes, one, zero = ir.Constant(INTS, list(range(LANES))), code.vector(1), code.vector(0)
        with code.repeating(rows, [logits, labels, zero.value]) as (at, following):
            row, label_at, total = at
            label = code.splat(code.builder.trunc(code.integer(label_at), _INT), _INT)
            right = code.builder.icmp_signed("==", lanes, label)
            found = chosen(mask, code.load(row, mask), code.vector(float("-inf")))
            shifted = found - code.over_lanes(found, _larger)
            weights = exponential(shifted)
            whole, picked = code.over_lanes(weights), code.over_lanes(chosen(right, shifted, zero))
            code.store((weights / whole - chosen(right, one, zero)) * share, row, mask)
            # the logarithm takes a NaN for a number, this difference does not
            own = logarithm(whole) - picked + (whole - whole)
            following += [
                code.at(row, row_bytes),
                code.at(label_at, code.int(INTEGER)),
                (Vector(code, total) + own).value,
            ]
        code.store(Vector(code, total) * share, loss, code.first_lanes(code.int(1)))

    return compiled(write, 6)


def _larger(a: Vector, b: Vector) -> Vector:
    return chosen(a.code.builder.fcmp_ordered(">", a.value, b.value), a, b)
