"""Elementary functions as vector code: the polynomials of Cephes (Moshier 1989, expf and logf), right to some units in the last place."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from folklore.core.machine_code import LANES, Vector

INTS = ir.VectorType(ir.IntType(32), LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_LOWEST = -87.0  # e to the power of what is below is no normal number any more
_ROUNDING = 1.5 * 2**23  # added to a float of at most 2^22 leaves a whole number in its last bits
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1)
_LOG += (-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_ONE_BITS, _ROOT_HALF_BITS, _ALL_BUT_SIGN, _MANTISSA = 0x3F800000, 0x3F3504F3, 0x7FFFFFFF, 23


def exponential(x: Vector) -> Vector:
    """Of floats up to 0, and a little above; 0 below -87, where floats lose digits."""
    part, power = _reduced(x)
    return select("<", x, _LOWEST, 0.0, (part + 1) * power)


def exponential_less_one(x: Vector) -> Vector:
    """e^x - 1 of floats up to 0, with all digits near 0."""
    part, power = _reduced(x)
    return select("<", x, _LOWEST, -1.0, part * power + (power - 1))


def logarithm(x: Vector) -> Vector:
    """Of normal floats above 0."""
    code, builder = x.code, x.code.builder
    bits = builder.bitcast(x.value, INTS)
    exponent = builder.ashr(builder.sub(bits, _ints(_ROOT_HALF_BITS)), _ints(_MANTISSA))
    mantissa = builder.bitcast(builder.sub(bits, builder.shl(exponent, _ints(_MANTISSA))), _FLOATS)
    power = Vector(code, builder.sitofp(exponent, _FLOATS))
    f = Vector(code, mantissa) - 1
    square = f * f
    return f + (_polynomial(f, _LOG) * (f * square) + power * _LN2_LOW - square * 0.5) + power * _LN2_HIGH


def logarithm_of_one_more(x: Vector) -> Vector:
    """log(1 + x) of floats from 0 to some millions, with all digits near 0: the rounding of 1 + x is made up for (Kahan)."""
    one_more = x + 1
    found = logarithm(one_more) * (x / (one_more - 1))
    return select("<=", one_more - 1, 0.0, x, found)


def absolute(x: Vector) -> Vector:
    bits = x.code.builder.bitcast(x.value, INTS)
    return Vector(x.code, x.code.builder.bitcast(x.code.builder.and_(bits, _ints(_ALL_BUT_SIGN)), _FLOATS))


def select(comparison: str, x: Vector, other: float, yes: Vector | float, no: Vector | float) -> Vector:
    """`yes` where x compares so with a number, as NaN never does, else `no`."""
    code = x.code
    condition = code.builder.fcmp_ordered(comparison, x.value, code.vector(other).value)
    return chosen(condition, code.vector(yes), code.vector(no))


def chosen(condition: ir.Value, yes: Vector, no: Vector) -> Vector:
    return Vector(yes.code, yes.code.builder.select(condition, yes.value, no.value))


def _reduced(x: Vector) -> tuple[Vector, Vector]:
    """e^r - 1 and 2^n with e^x = e^r 2^n and r at most half of log 2."""
    code, builder = x.code, x.code.builder
    with_whole = code.intrinsic("fma", x, code.vector(_LOG2_E), code.vector(_ROUNDING))
    whole = with_whole - _ROUNDING
    rest = code.intrinsic("fma", whole, code.vector(-_LN2_HIGH), x)
    rest = code.intrinsic("fma", whole, code.vector(-_LN2_LOW), rest)
    exponent = builder.shl(builder.bitcast(with_whole.value, INTS), _ints(_MANTISSA))
    power = Vector(code, builder.bitcast(builder.add(exponent, _ints(_ONE_BITS)), _FLOATS))
    return _polynomial(rest, _EXP) * (rest * rest) + rest, power


def _polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """By Horner's rule, the highest power first."""
    found = x.code.vector(coefficients[0])
    for coefficient in coefficients[1:]:
        found = x.code.intrinsic("fma", found, x, x.code.vector(coefficient))
    return found


def _ints(value: int) -> ir.Constant:
    return ir.Constant(INTS, [value] * LANES)
