"""MobileNet-v1 (Howard et al. 2017, arXiv 1704.04861, table 1) with its widths left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.families.builder import Builder
from edgewidth.graph.families.separable import add_separable
from edgewidth.graph.operators import Conv

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.resolution import Resolution

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Output channels of the first convolution and the 13 pointwise ones, at width multiplier 1.0."""

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Strides of the first convolution and the 13 depthwise ones: 224 pixels become 7."""


def mobilenet_v1(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network as a chain of 14 width variables.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("mobilenet_v1", resolution=resolution, in_channels=in_channels)
    first, *strides = net.fitted(STRIDES)
    net.add("conv0", Conv(width=net.width(WIDTHS[0]), kernel=3, stride=first, activation="relu6"))
    for number, (width, stride) in enumerate(zip(WIDTHS[1:], strides, strict=True), start=1):
        add_separable(net, number, width, stride=stride, activation="relu6")
    net.pooled()
    return net.classified(num_classes)
