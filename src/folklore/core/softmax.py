"""Softmax and cross-entropy of one run as vector code: a row of logits is one vector, so there are at most LANES classes.

exp and log are the polynomials of Cephes (Moshier 1989, expf and logf), right to 2 units in the last place; sums over a row are a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from llvmlite import ir

from folklore.core.machine_code import FLOAT, INTEGER, LANES, Code, Compiled, Vector, compiled

_INT, _INTS, _FLOATS = (
    ir.IntType(32),
    ir.VectorType(ir.IntType(32), LANES),
    ir.VectorType(ir.FloatType(), LANES),
)
_LOWEST = -87.0  # e to the power of what is below is no normal number any more
_ROUNDING = 1.5 * 2**23  # added to a float of at most 2^22 leaves a whole number in its last bits
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1)
_LOG += (-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_ONE_BITS, _ROOT_HALF_BITS, _MANTISSA = 0x3F800000, 0x3F3504F3, 23


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
        lanes, one, zero = ir.Constant(_INTS, list(range(LANES))), code.vector(1), code.vector(0)
        with code.repeating(rows, [logits, labels, zero.value]) as (at, following):
            row, label_at, total = at
            label = code.splat(code.builder.trunc(code.integer(label_at), _INT), _INT)
            right = code.builder.icmp_signed("==", lanes, label)
            found = _select(mask, code.load(row, mask), code.vector(float("-inf")))
            shifted = found - _over_lanes(found, _larger)
            weights = exponential(shifted)
            whole, picked = _over_lanes(weights), _over_lanes(_select(right, shifted, zero))
            code.store((weights / whole - _select(right, one, zero)) * share, row, mask)
            # the logarithm takes a NaN for a number, this difference does not
            own = logarithm(whole) - picked + (whole - whole)
            following += [
                code.at(row, row_bytes),
                code.at(label_at, code.int(INTEGER)),
                (Vector(code, total) + own).value,
            ]
        code.store(Vector(code, total) * share, loss, code.first_lanes(code.int(1)))

    return compiled(write, 6)


def exponential(x: Vector) -> Vector:
    """Of floats up to 88; 0 below -87, where floats lose digits."""
    code, builder = x.code, x.code.builder
    with_whole = code.intrinsic("fma", x, code.vector(_LOG2_E), code.vector(_ROUNDING))
    whole = with_whole - _ROUNDING
    rest = code.intrinsic("fma", whole, code.vector(-_LN2_HIGH), x)
    rest = code.intrinsic("fma", whole, code.vector(-_LN2_LOW), rest)
    found = _polynomial(rest, _EXP) * (rest * rest) + rest + 1
    exponent = builder.shl(builder.bitcast(with_whole.value, _INTS), _ints(_MANTISSA))
    power = Vector(code, builder.bitcast(builder.add(exponent, _ints(_ONE_BITS)), _FLOATS))
    lost = builder.fcmp_ordered("<", x.value, code.vector(_LOWEST).value)
    return _select(lost, code.vector(0), found * power)


def logarithm(x: Vector) -> Vector:
    """Of normal floats above 0."""
    code, builder = x.code, x.code.builder
    bits = builder.bitcast(x.value, _INTS)
    exponent = builder.ashr(builder.sub(bits, _ints(_ROOT_HALF_BITS)), _ints(_MANTISSA))
    mantissa = builder.bitcast(builder.sub(bits, builder.shl(exponent, _ints(_MANTISSA))), _FLOATS)
    power = Vector(code, builder.sitofp(exponent, _FLOATS))
    f = Vector(code, mantissa) - 1
    square = f * f
    return f + (_polynomial(f, _LOG) * (f * square) + power * _LN2_LOW - square * 0.5) + power * _LN2_HIGH


def _polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """By Horner's rule, the highest power first."""
    found = x.code.vector(coefficients[0])
    for coefficient in coefficients[1:]:
        found = x.code.intrinsic("fma", found, x, x.code.vector(coefficient))
    return found


def _over_lanes(vector: Vector, together: Callable[[Vector, Vector], Vector] = Vector.__add__) -> Vector:
    """All lanes taken together by a tree, in all lanes."""
    apart = LANES // 2
    while apart:
        vector = together(
            vector, vector.code.shuffled(vector, vector, [lane ^ apart for lane in range(LANES)])
        )
        apart //= 2
    return vector


def _larger(a: Vector, b: Vector) -> Vector:
    return _select(a.code.builder.fcmp_ordered(">", a.value, b.value), a, b)


def _select(condition: ir.Value, yes: Vector, no: Vector) -> Vector:
    return Vector(yes.code, yes.code.builder.select(condition, yes.value, no.value))


def _ints(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * LANES)
