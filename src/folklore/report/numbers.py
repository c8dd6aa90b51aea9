"""Numbers as a reader wants them: few digits, a true minus sign, powers of ten instead of `1.2e-05`."""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = "–"
MINUS = "\u2212"
_SUPERSCRIPT = str.maketrans("-0123456789abcdefghijklmnoprstuvwxyzT", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ")


def is_number(value: object) -> bool:
    """True for a finite int or float; booleans are not numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """`value` with that many decimals; a value that rounds to zero carries no sign."""
    rounded = round(value, decimals)
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{abs(rounded):,.{decimals}f}"


def power_of_ten(value: float, digits: int = 2) -> str:
    """Scientific notation with `digits` significant digits: 1.2×10⁻⁵."""
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    mantissa = _trim(mantissa)
    sign = MINUS if value < 0 else ""
    times = "" if mantissa == "1" else f"{mantissa}×"
    return f"{sign}{times}10{superscript(int(exponent))}"


def superscript(exponent: int | str) -> str:
    """An exponent in raised digits and letters (there is no raised q)."""
    return str(exponent).translate(_SUPERSCRIPT)


def number(value: object, digits: int = 3) -> str:
    """Any value of a cell or a sentence with `digits` significant digits; a dash for what does not exist."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if not is_number(value):
        return MISSING
    if isinstance(value, int) or value == 0:
        return count(value)
    if not 1e-3 <= abs(value) < 1e6:
        return power_of_ten(value, min(digits, 2))
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _trim(fixed(value, decimals))


def count(value: object) -> str:
    """A whole number with thousands marked: 6,500."""
    return fixed(float(value), 0) if is_number(value) else MISSING


def percent(share: object) -> str:
    """A share in [0, 1] as a percentage with one decimal at most."""
    return f"{_trim(fixed(100 * share, 1))} %" if is_number(share) else MISSING


def p_value(value: object) -> str:
    """Two digits; below 10⁻⁴ only that it is."""
    if not is_number(value):
        return MISSING
    return "< 0.0001" if value < 1e-4 else _trim(fixed(value, 4 if value < 0.01 else 3 if value < 0.1 else 2))


def decimals_for(interval: Sequence[float | None] | None, scale: float, fallback: float | None = None) -> int:
    """Decimals that resolve an interval's half-width in about four steps or better, at most 5.

    Without a usable interval the choice follows `fallback`, the number itself.
    """
    half = abs(interval[1] - interval[0]) / 2 * abs(scale) if _complete(interval) else 0.0
    reference = half / 4 if half > 0 else abs(fallback or 0.0) * scale / 100
    return min(5, max(0, math.ceil(-math.log10(reference)))) if reference > 0 else 2


def interval_text(interval: Sequence[float | None] | None, scale: float, decimals: int) -> str:
    """`[lo, hi]` in printed units; a dash when a limit is missing."""
    if not _complete(interval):
        return MISSING
    low, high = (_plain(limit * scale, decimals) for limit in interval)
    return f"[{low}, {high}]"


def effect_text(
    effect: object, interval: Sequence[float | None] | None, scale: float, signed: bool = True
) -> str:
    """An estimate in printed units, with the decimals that its interval can carry."""
    if not is_number(effect):
        return MISSING
    return _plain(effect * scale, decimals_for(interval, scale, effect), signed)


def _plain(value: float, decimals: int, signed: bool = False) -> str:
    if 0 < abs(value) < 10 ** -(decimals + 1) and abs(value) < 1e-4:
        return power_of_ten(value)
    return power_of_ten(value, 3) if abs(value) >= 1e7 else fixed(value, decimals, signed)


def _complete(interval: Sequence[float | None] | None) -> bool:
    return interval is not None and len(interval) == 2 and all(is_number(limit) for limit in interval)


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
