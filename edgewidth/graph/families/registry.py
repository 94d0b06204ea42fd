"""The networks that edgewidth knows, by name, and the search spaces around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import InputError
from edgewidth.graph.families.ds_cnn import ds_cnn
from edgewidth.graph.families.efficientnet_lite0 import efficientnet_lite0
from edgewidth.graph.families.mobilenet_v1 import mobilenet_v1
from edgewidth.graph.families.mobilenet_v2 import mobilenet_v2
from edgewidth.graph.families.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.families.resnet import resnet8, resnet18

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.graph.space import SearchSpace
    from edgewidth.resolution import Resolution


class Family(NamedTuple):
    """How a network is described, and the input and the classes that it was published for."""

    describe: Callable[..., Described]
    """Given ``resolution``, ``in_channels`` and ``num_classes``."""
    resolution: Resolution = 224
    in_channels: int = 3
    num_classes: int = 1000


FAMILIES = {
    "mobilenet_v1": Family(mobilenet_v1),
    "mobilenet_v2": Family(mobilenet_v2),
    "mobilenet_v3_small": Family(mobilenet_v3_small),
    "mobilenet_v3_large": Family(mobilenet_v3_large),
    "efficientnet_lite0": Family(efficientnet_lite0),
    "resnet8": Family(resnet8, resolution=32, num_classes=10),
    "resnet18": Family(resnet18),
    "ds_cnn": Family(ds_cnn, resolution=(49, 10), in_channels=1, num_classes=12),
}


def search_space(
    family: str,
    *,
    resolution: Resolution | None = None,
    in_channels: int | None = None,
    num_classes: int | None = None,
    min_width: float = WidthRanges.min_width,
    max_width: float = WidthRanges.max_width,
    levels: int | None = None,
    divisor: int = WidthRanges.divisor,
) -> SearchSpace:
    """The search space of a family, with the same range for all its widths; see ``space_around``.

    The input and the classes are the published ones where no others are given.

    Raises:
        InputError: An unknown family, a range that is empty, or a resolution that the family cannot take.
    """
    ranges = WidthRanges(min_width, max_width, levels, divisor)
    network, base_widths = describe(family, resolution=resolution, in_channels=in_channels, num_classes=num_classes)
    return space_around(network, base_widths, ranges)


def describe(
    family: str, *, resolution: Resolution | None, in_channels: int | None, num_classes: int | None
) -> Described:
    """The network of a family; None stands for what it was published for.

    Raises:
        InputError: An unknown family, or a resolution that the family cannot take.
    """
    if family not in FAMILIES:
        raise InputError(f"Unknown network {family!r}.", remedy=f"Known networks: {', '.join(FAMILIES)}.")
    published = FAMILIES[family]
    return published.describe(
        resolution=published.resolution if resolution is None else resolution,
        in_channels=published.in_channels if in_channels is None else in_channels,
        num_classes=published.num_classes if num_classes is None else num_classes,
    )
