"""MobileNet-v3 large and small (Howard et al. 2019, arXiv 1905.02244, tables 1 and 2) with their widths left open.

The last convolution of the small network is without the squeeze-and-excite that table 2 marks: the authors' code and
the published number of parameters have none there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.graph.families.builder import Builder
from edgewidth.graph.families.inverted_residual import Block, add_blocks
from edgewidth.graph.operators import Conv, Dense

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.resolution import Resolution

STEM = 16
# kernel, expanded, width, squeeze-and-excite, activation, stride: the columns of the published tables
LARGE = (
    Block(3, 16, 16, False, "relu", 1),
    Block(3, 64, 24, False, "relu", 2),
    Block(3, 72, 24, False, "relu", 1),
    Block(5, 72, 40, True, "relu", 2),
    Block(5, 120, 40, True, "relu", 1),
    Block(5, 120, 40, True, "relu", 1),
    Block(3, 240, 80, False, "hard_swish", 2),
    Block(3, 200, 80, False, "hard_swish", 1),
    Block(3, 184, 80, False, "hard_swish", 1),
    Block(3, 184, 80, False, "hard_swish", 1),
    Block(3, 480, 112, True, "hard_swish", 1),
    Block(3, 672, 112, True, "hard_swish", 1),
    Block(5, 672, 160, True, "hard_swish", 2),
    Block(5, 960, 160, True, "hard_swish", 1),
    Block(5, 960, 160, True, "hard_swish", 1),
)
SMALL = (
    Block(3, 16, 16, True, "relu", 2),
    Block(3, 72, 24, False, "relu", 2),
    Block(3, 88, 24, False, "relu", 1),
    Block(5, 96, 40, True, "hard_swish", 2),
    Block(5, 240, 40, True, "hard_swish", 1),
    Block(5, 240, 40, True, "hard_swish", 1),
    Block(5, 120, 48, True, "hard_swish", 1),
    Block(5, 144, 48, True, "hard_swish", 1),
    Block(5, 288, 96, True, "hard_swish", 2),
    Block(5, 576, 96, True, "hard_swish", 1),
    Block(5, 576, 96, True, "hard_swish", 1),
)


def mobilenet_v3_large(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The large network with 30 width variables.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("mobilenet_v3_large", resolution=resolution, in_channels=in_channels)
    return _network(net, LARGE, num_classes, head=960, hidden=1280)


def mobilenet_v3_small(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The small network with 27 width variables.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("mobilenet_v3_small", resolution=resolution, in_channels=in_channels)
    return _network(net, SMALL, num_classes, head=576, hidden=1024)


def _network(net: Builder, blocks: Sequence[Block], num_classes: int, *, head: int, hidden: int) -> Described:
    """The blocks, a convolution to ``head`` channels, and a fully connected layer of ``hidden`` on their means."""
    add_blocks(net, blocks, stem=STEM, activation="hard_swish")
    net.add("head", Conv(width=net.width(head), activation="hard_swish"))
    net.pooled()
    net.add("hidden", Dense(width=net.width(hidden), activation="hard_swish"))
    return net.classified(num_classes)
