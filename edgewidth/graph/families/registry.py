"""The networks that edgewidth knows, by name, and the search spaces around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import InputError
from edgewidth.graph.families.mobilenet_v1 import WIDTHS, mobilenet_v1
from edgewidth.graph.families.ranges import WidthRanges, space_around

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.spec import NetworkSpec


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
    min_width: float = WidthRanges.min_width,
    max_width: float = WidthRanges.max_width,
    levels: int | None = None,
    divisor: int = WidthRanges.divisor,
    strides: tuple[int, ...] | None = None,
) -> SearchSpace:
    """The search space of a family, with the same range for all its widths; see ``space_around``.

    Raises:
        InputError: An unknown family, a range that is empty, or a resolution that the family cannot take.
    """
    ranges = WidthRanges(min_width, max_width, levels, divisor)
    network, base_widths = family_network(
        family, resolution=resolution, in_channels=in_channels, num_classes=num_classes, strides=strides
    )
    return space_around(network, base_widths, ranges)


def family_network(
    family: str, *, resolution: int, in_channels: int, num_classes: int, strides: tuple[int, ...] | None = None
) -> tuple[NetworkSpec, tuple[int, ...]]:
    """The network of a family, and how wide its variables are at width multiplier 1.0.

    Raises:
        InputError: An unknown family, or a resolution that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown network {family!r}.", remedy=f"Known networks: {', '.join(FAMILIES)}.")
    build, base_widths = FAMILIES[family]
    network = build(resolution=resolution, in_channels=in_channels, num_classes=num_classes, strides=strides)
    return network, base_widths
