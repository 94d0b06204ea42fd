"""The networks that edgewidth knows, by name, and the search spaces around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import InputError
from edgewidth.graph.families.mobilenet_v1 import WIDTHS, mobilenet_v1
from edgewidth.graph.space import SearchSpace, WidthVariable

if TYPE_CHECKING:
    from edgewidth.graph.spec import NetworkSpec


class Family(NamedTuple):
    """How to build a network and how wide its variables are at width multiplier 1.0."""

    build: Callable[..., NetworkSpec]
    base_widths: tuple[int, ...]


FAMILIES = {"mobilenet_v1": Family(mobilenet_v1, WIDTHS)}


STEP = 0.1
"""From one width multiplier to the next, where nothing else is said."""
WIDEST = 8.0
"""The largest width multiplier: beyond it a network has a billion weights."""


def search_space(
    family: str,
    *,
    resolution: int,
    in_channels: int,
    num_classes: int,
    min_width: float = 0.2,
    max_width: float = 1.5,
    levels: int | None = None,
    divisor: int = 8,
    strides: tuple[int, ...] | None = None,
) -> SearchSpace:
    """The search space of a family: ``levels`` multipliers from ``min_width`` to ``max_width``, as AOWS has it.

    Without ``levels`` one multiplier follows another by about ``STEP``, so that 1.0 is among them in the usual ranges.

    Each width is a base width times a multiplier, rounded to a multiple of ``divisor``; equal ones count once.

    Raises:
        InputError: An unknown family, a range that is empty, or a resolution that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown network {family!r}.", remedy=f"Known networks: {', '.join(FAMILIES)}.")
    if not 0 < min_width <= max_width <= WIDEST or (levels is not None and levels < 1) or divisor < 1:
        in_levels = "" if levels is None else f" in {levels} levels"
        raise InputError(
            f"Widths from {min_width:g} to {max_width:g}{in_levels} of multiples of {divisor} are no range.",
            remedy=f"Use 0 < `min_width` <= `max_width` <= {WIDEST:g}, and levels and a divisor from 1.",
        )
    if levels is None:
        levels = round((max_width - min_width) / STEP) + 1
    build, base_widths = FAMILIES[family]
    network = build(resolution=resolution, in_channels=in_channels, num_classes=num_classes, strides=strides)
    step = (max_width - min_width) / max(levels - 1, 1)
    multipliers = [min_width + step * level for level in range(levels)]
    variables = tuple(
        WidthVariable(name=name, base=base, choices=_choices(base, multipliers, divisor))
        for name, base in zip(network.variables, base_widths, strict=True)
    )
    return SearchSpace(network=network, variables=variables)


def _choices(base: int, multipliers: list[float], divisor: int) -> tuple[int, ...]:
    # 1e-9: 0.2 + 0.1 × 8 is just below 1.0 in floating point, and must not round down at a half.
    rounded = {max(divisor, divisor * math.floor(base * m / divisor + 0.5 + 1e-9)) for m in multipliers}
    return tuple(sorted(rounded))
