"""What the text of an option means: amounts, durations, choices."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgewidth.errors import InputError
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.inputs import Fill
from edgewidth.records.measurement import Statistic
from edgewidth.resolution import resolution_of

if TYPE_CHECKING:
    from edgewidth.resolution import Resolution

T = TypeVar("T")

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
"""A file that is there."""
FOLDER = click.Path(path_type=Path, file_okay=False)
"""A folder that may have to be made."""
MOST_PIXELS = 8192
"""A side of this many is no input of a small device."""
_MOST_DIGITS = 20
"""Of a whole number; no size of anything has as many."""


class TableFormat(StrEnum):
    """How a table is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"


class OneOf(click.Choice[str]):
    """A member of an enumeration, written as its value."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__([member.value for member in kind])
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StrEnum:
        """The member whose value was given, or one of click's errors."""
        return self._kind(super().convert(value, param, ctx))


class FiniteRange(click.FloatRange):
    """A range that has no nan in it, which compares with nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that was given, or one of click's errors."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def budget_in_ms(text: str) -> BudgetRequest:
    """A budget that is no share of anything."""
    budget = BudgetRequest.parse(text)
    budget.in_ms(Statistic.MEDIAN)
    return budget


def duration(text: str) -> float:
    """Seconds from ``90s``, ``10m`` or ``1h``."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:])
    seconds = unit and _amount(text[:-1], unit)
    if seconds is None:
        raise InputError(f"{text!r} is not a duration.", remedy="Write 90s, 10m or 1h.")
    return seconds


def resolution(text: str) -> Resolution:
    """Pixels a side from ``96``, height and width from ``96x128``; one number for a square."""
    sides = [_whole(part) for part in text.lower().replace("×", "x").split("x")]
    if not 1 <= len(sides) <= 2 or not all(0 < side <= MOST_PIXELS for side in sides):
        raise InputError(
            f"{text!r} is no size of images.",
            remedy=f"Write 96, or 96x128 for height and width, of 1 to {MOST_PIXELS:,} pixels.",
        )
    return resolution_of(sides[0], sides[-1])


def percent(text: str) -> float:
    """A number from ``3%``."""
    number = _amount(text.removesuffix("%").strip()) if text.endswith("%") else None
    if number is None:
        raise InputError(f"{text!r} is not a percentage above zero.", remedy="Write 3%.")
    return number


def share(text: str) -> float:
    """A part of a whole from ``50%``; ``0%`` is none of it."""
    return 0.0 if text.strip() in {"0", "0%"} else percent(text) / 100


def numbers(text: str) -> tuple[float, ...]:
    """Finite numbers from ``0.485,0.456,0.406``."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"{text!r} are not numbers.", remedy="Write 0.485,0.456,0.406.")
    return found


def positive_numbers(text: str) -> tuple[float, ...]:
    """The same, each above zero."""
    found = numbers(text)
    if min(found) <= 0:
        raise InputError(f"{text!r} are not all above zero.", remedy="Write 0.229,0.224,0.225.")
    return found


def pairs(_context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Values by key from every ``key=value``; a callback of click's."""
    flag, found = parameter.opts[0], dict[str, str]()
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{flag} {pair}: there is no value.", remedy=f"Write {flag} key=value.")
        _add(found, key.strip(), value, flag)
    return found


def shapes(_context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Sizes by name from every ``NAME=1x224x224x3``, that without a name under ""; a callback of click's."""
    flag, found = parameter.opts[0], dict[str, tuple[int, ...]]()
    for text in given:
        name, _, sizes = text.rpartition("=")
        shape = tuple(_whole(part) for part in sizes.lower().replace("×", "x").split("x"))
        if not all(0 < size < 2**31 for size in shape):
            raise InputError(f"{flag} {text}: {sizes!r} is no shape.", remedy="Write 1x224x224x3.")
        _add(found, name, shape, flag)
    return found


def _add(found: dict[str, T], name: str, value: T, flag: str) -> None:
    """Keep the value of a name.

    Raises:
        InputError: It has another one.
    """
    if found.setdefault(name, value) != value:
        of_name = f" of {name}" if name else ""
        raise InputError(f"{flag} gives different values{of_name}.", remedy="Give one of them.")


def input_values(text: str) -> Fill | Path:
    """``zeros``, ``random``, or the path of an ``.npz``."""
    if text in {Fill.ZEROS, Fill.RANDOM}:
        return Fill(text)
    if not text.lower().endswith(".npz"):
        raise InputError(f"{text!r} are no values of inputs.", remedy="Write zeros, random or a file.npz.")
    return Path(text)


def multipliers(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """The least and the greatest width multiplier by name from every ``name=0.5:1``; a callback of click's."""
    found = {}
    for name, text in pairs(context, parameter, given).items():
        least, greatest = (_amount(part.strip()) for part in (*text.split(":"), "", "")[:2])
        if text.count(":") != 1 or least is None or greatest is None:
            flag = parameter.opts[0]
            raise InputError(
                f"{flag} {name}={text}: {text!r} is no range of width multipliers.",
                remedy=f"Write {flag} {name}=0.5:1.",
            )
        found[name] = (least, greatest)
    return found


def _whole(text: str) -> int:
    """A whole number; 0: it is none, or has more digits than any that is meant."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _amount(text: str, unit: float = 1.0) -> float | None:
    """So many units, from a decimal number above zero; None: it is none, or too large."""
    if not text.replace(".", "", 1).isdecimal():
        return None
    amount = float(text) * unit
    return amount if 0 < amount < math.inf else None
