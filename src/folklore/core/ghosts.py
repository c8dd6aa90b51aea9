"""Ghosts, parts of a batch that are normalised each by itself (Hoffer et al. 2017): how a batch is cut, and what its ghosts leave for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from llvmlite import ir

from folklore.core.batch_norm import RUNNING_WEIGHT
from folklore.core.compilation import Compiled, compiled
from folklore.core.machine_code import FLOAT, Code, Vector


def sizes(rows: int, amount: int) -> list[int]:
    """Rows of each ghost: `amount`, and in the last what is left over besides."""
    whole = max(0, rows // amount - (rows % amount > 0))
    left = rows - whole * amount
    return [amount] * whole + [left] * (left > 0)


def unbiased(size: int) -> float:
    """What the variance of a ghost is multiplied by."""
    return size / max(size - 1, 1)


@cache
def moments_part() -> Compiled:
    """Of a run's number (not used), ghosts, units, rows of all ghosts, the addresses of `unbiased` (ghosts), means and variances (ghosts, units) and
    the running moments, which move.
    """

    def write(code: Code, given: Sequence[ir.Value]) -> None:
        _, ghosts, units, rows, corrections, means, variances, *running = given
        apart, zero, count = code.times(units, FLOAT), code.vector(0), code.whole(ghosts)
        fewer = code.whole(code.minus(rows, code.int(1)))
        less, more = fewer / code.whole(rows), code.whole(rows) / fewer

        def each(before: ir.Value, mask: ir.Value | None) -> None:
            starts = [corrections, code.at(means, before), code.at(variances, before), zero.value, zero.value]
            with code.repeating(ghosts, starts) as ((at, at_mean, at_variance, *so_far), following):
                parts = code.load(at_mean, mask), code.load(at_variance, mask) * code.number(at)
                following += [
                    code.at(at, code.int(FLOAT)),
                    code.at(at_mean, apart),
                    code.at(at_variance, apart),
                ]
                following += [
                    (Vector(code, sum_) + part).value for sum_, part in zip(so_far, parts, strict=True)
                ]
            mean, variance = (Vector(code, sum_) / count for sum_ in so_far)
            for seen, start in zip((mean, variance * less * more), running, strict=True):
                place = code.at(start, before)
                known = code.load(place, mask)
                code.store(known + (seen - known) * RUNNING_WEIGHT, place, mask)

        code.along(units, each)

    return compiled(write, 9)
