"""Numbers as people read them; the one place where the report turns them into text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "−"
TIMES = "×"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
ABSENT = "–"


def milliseconds(value: float | None) -> str:
    """Four significant digits: ``9.986 ms``."""
    return ABSENT if value is None else f"{significant(value)} ms"


def significant(value: float, digits: int = 4) -> str:
    """That many significant digits, without an exponent for everyday sizes, trailing zeros kept."""
    text = f"{value:#.{digits}g}"
    return (f"{value:.0f}" if "e+" in text else text).rstrip(".")


def percent(value: float | None, decimals: int = 1) -> str:
    """``91.3 %``."""
    return ABSENT if value is None else f"{value:.{decimals}f} %"


def signed(value: float | None, unit: str = " %", decimals: int = 1) -> str:
    """With its sign: ``+1.2 %``."""
    if value is None:
        return ABSENT
    return f"{value:+.{decimals}f}".replace("-", MINUS) + unit


def size(size_bytes: float | None) -> str:
    """Decimal kB, MB or GB, as file managers show them."""
    if size_bytes is None:
        return ABSENT
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{significant(size_bytes / scale, 3)} {unit}"
    return f"{size_bytes:.0f} bytes"


def count(value: float | None) -> str:
    """Thousands, millions and more, three digits: ``1.21 M``; above that a power of ten."""
    if value is None:
        return ABSENT
    if value >= 1e12:
        # As a decimal: there may be more configurations than a floating-point number can say.
        mantissa, _, exponent = f"{Decimal(value):.1e}".partition("e+")
        return f"{mantissa} {TIMES} 10{exponent.translate(_SUPERSCRIPT)}"
    for unit, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if value >= scale:
            return f"{significant(value / scale, 3)}{unit}"
    return f"{value:g}"


def listed(names: Sequence[str], most: int) -> str:
    """The first ``most`` names, and how many others there are: ``w0, w1 and 23 more``."""
    shown, more = names[:most], len(names) - most
    return f"{', '.join(shown)}{f' and {more} more' if more > 0 else ''}"


def plural(number: int, noun: str) -> str:
    """``1 visit``, ``9 visits``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
