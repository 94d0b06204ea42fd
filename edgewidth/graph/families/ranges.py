"""Which widths of a network are searched: the search space around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgewidth.errors import InputError
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.widths import variables_of

if TYPE_CHECKING:
    from edgewidth.graph.spec import NetworkSpec

STEP = 0.1
"""From one width multiplier to the next, where nothing else is said."""
WIDEST = 8.0
"""The largest width multiplier: beyond it a network has a billion weights."""


@dataclass(frozen=True)
class WidthRanges:
    """Width multipliers: from the least to the greatest in ``levels``, as AOWS has it.

    Without ``levels`` one multiplier follows another by about ``STEP``, so that 1.0 is among them in the usual ranges.
    Each width is a base width times a multiplier, rounded to a multiple of ``divisor``; equal ones count once. Names
    below are those of width variables, or of layers, which stand for all variables among their output channels.

    Raises:
        InputError: A range that is empty.
    """

    min_width: float = 0.2
    max_width: float = 1.5
    levels: int | None = None
    divisor: int = 8
    fix: tuple[str, ...] = ()
    """Of these the base width is the only choice."""
    only: tuple[str, ...] = ()
    """If there are any, all others are fixed."""
    own: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The least and the greatest multiplier of single variables."""
    with_base: bool = False
    """Whether the base width is a choice even where it is no multiple of ``divisor``, as trained weights need it; to
    round a narrower width does not make it wider than that, nor a wider one narrower."""

    def __post_init__(self) -> None:
        for least, greatest in ((self.min_width, self.max_width), *self.own.values()):
            self._check(least, greatest)

    def choices(self, base: int, least: float, greatest: float) -> tuple[int, ...]:
        """The widths of a variable in a range of multipliers, ascending."""
        levels = round((greatest - least) / STEP) + 1 if self.levels is None else self.levels
        step = (greatest - least) / max(levels - 1, 1)
        widths = {self._width(base, least + step * level) for level in range(levels)}
        if self.with_base and least <= 1 <= greatest:
            widths.add(base)
        return tuple(sorted(widths))

    def _width(self, base: int, multiplier: float) -> int:
        # 1e-9: 0.2 + 0.1 × 8 is just below 1.0 in floating point, and must not round down at a half.
        width = self.divisor * math.floor(base * multiplier / self.divisor + 0.5 + 1e-9)
        width = max(self.divisor, width)
        if self.with_base and multiplier < 1 + 1e-9:
            width = min(width, base)
        if self.with_base and multiplier > 1 - 1e-9:
            width = max(width, base)
        return width

    def _check(self, least: float, greatest: float) -> None:
        levels = self.levels
        if not 0 < least <= greatest <= WIDEST or (levels is not None and levels < 1) or self.divisor < 1:
            in_levels = "" if levels is None else f" in {levels} levels"
            raise InputError(
                f"Widths from {least:g} to {greatest:g}{in_levels} of multiples of {self.divisor} are no range.",
                remedy=f"Use 0 < `min_width` <= `max_width` <= {WIDEST:g}, and levels and a divisor from 1.",
            )


def space_around(network: NetworkSpec, base_widths: Sequence[int], ranges: WidthRanges) -> SearchSpace:
    """The search space of a network whose variables are so wide at width multiplier 1.0.

    Raises:
        InputError: A name is neither a width variable nor a layer with one, or no width can vary.
    """
    if not network.variables:
        raise InputError(
            f"No width of {network.family} can vary: there is nothing to search.",
            remedy="edgewidth network tells for every layer why.",
        )
    fixed = {name for given in ranges.fix for name in _named(network, given)}
    if ranges.only:
        fixed |= set(network.variables) - {name for given in ranges.only for name in _named(network, given)}
    own = {name: range_ for given, range_ in ranges.own.items() for name in _named(network, given)}
    variables = []
    for name, base in zip(network.variables, base_widths, strict=True):
        least, greatest = own.get(name, (ranges.min_width, ranges.max_width))
        choices = (base,) if name in fixed else ranges.choices(base, least, greatest)
        variables.append(WidthVariable(name=name, base=base, choices=choices))
    return SearchSpace(network=network, variables=tuple(variables))


def _named(network: NetworkSpec, name: str) -> tuple[str, ...]:
    """The width variables that a name stands for."""
    if name in network.variables:
        return (name,)
    found = [layer for layer in network.layers if layer.name == name]
    variables = variables_of(found[0].output.channels) if found else ()
    if not variables:
        what = "a layer whose widths cannot vary" if found else "neither a width variable nor a layer"
        raise InputError(
            f"{name!r} is {what} of {network.family}.",
            remedy=f"Its width variables are {network.variables[0]} to {network.variables[-1]}; "
            "edgewidth network lists them with their layers.",
        )
    return variables
