"""The networks that edgewidth knows, by name, and the search spaces around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import InputError
from edgewidth.network.mobilenet_v1 import WIDTHS, mobilenet_v1
from edgewidth.records.network import NetworkSpec, SearchSpace, WidthVariable

if TYPE_CHECKING:
    from collections.abc import Callable


class Family(NamedTuple):
    """How to build a network and how wide its variables are at width multiplier 1.0."""

    build: Callable[..., NetworkSpec]
    base_widths: tuple[int, ...]


FAMILIES = {"mobilenet_v1": Family(mobilenet_v1, WIDTHS)}


def search_space(
    family: str,
    *,
    resolution: int,
    in_channels: int,
    num_classes: int,
    min_width: float = 0.2,
    max_width: float = 1.5,
    levels: int = 14,
    divisor: int = 8,
    strides: tuple[int, ...] | None = None,
) -> SearchSpace:
    """The search space of a family: ``levels`` multipliers from ``min_width`` to ``max_width``, as AOWS has it.

    Each width is a base width times a multiplier, rounded to a multiple of ``divisor``; equal ones count once.

    Raises:
        InputError: An unknown family, a range that is empty, or a resolution that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown network {family!r}.", remedy=f"Known networks: {', '.join(FAMILIES)}.")
    if not (0 < min_width <= max_width and math.isfinite(max_width)) or levels < 1 or divisor < 1:
        raise InputError(
            f"Widths from {min_width:g} to {max_width:g} in {levels} levels of multiples of {divisor} are no range.",
            remedy="Use 0 < --min-width <= --max-width, and levels and a divisor from 1.",
        )
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
