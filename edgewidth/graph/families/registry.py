"""The networks that edgewidth knows, by name, and the search spaces around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.errors import InputError
from edgewidth.graph.families.ds_cnn import ds_cnn
from edgewidth.graph.families.efficientnet_lite0 import efficientnet_lite0
from edgewidth.graph.families.mobilenet_v1 import mobilenet_v1
from edgewidth.graph.families.mobilenet_v2 import mobilenet_v2
from edgewidth.graph.families.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.families.resnet import resnet8, resnet18

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.families.builder import Described
    from edgewidth.graph.space import SearchSpace


FAMILIES: dict[str, Callable[..., Described]] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mobilenet_v3_large": mobilenet_v3_large,
    "efficientnet_lite0": efficientnet_lite0,
    "resnet8": resnet8,
    "resnet18": resnet18,
    "ds_cnn": ds_cnn,
}
"""How each is described, given ``resolution``, ``in_channels`` and ``num_classes``."""


def search_space(
    family: str,
    *,
    resolution: int | tuple[int, int],
    in_channels: int,
    num_classes: int,
    min_width: float = WidthRanges.min_width,
    max_width: float = WidthRanges.max_width,
    levels: int | None = None,
    divisor: int = WidthRanges.divisor,
) -> SearchSpace:
    """The search space of a family, with the same range for all its widths; see ``WidthRanges``.

    Raises:
        InputError: An unknown family, a range that is empty, or a resolution that the family cannot take.
    """
    ranges = WidthRanges(min_width, max_width, levels, divisor)
    described = describe(family, resolution=resolution, in_channels=in_channels, num_classes=num_classes)
    return space_around(*described, ranges)


def describe(family: str, *, resolution: int | tuple[int, int], in_channels: int, num_classes: int) -> Described:
    """The network of a family, and how wide its variables are at width multiplier 1.0.

    Raises:
        InputError: An unknown family, or a resolution that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown network {family!r}.", remedy=f"Known networks: {', '.join(FAMILIES)}.")
    return FAMILIES[family](resolution=resolution, in_channels=in_channels, num_classes=num_classes)
