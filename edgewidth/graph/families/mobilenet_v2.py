"""MobileNet-v2 (Sandler et al. 2018, arXiv 1801.04381, table 2) with its widths left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.families.builder import Builder
from edgewidth.graph.families.inverted_residual import Stage, add_blocks, blocks_of
from edgewidth.graph.operators import Conv

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.resolution import Resolution

STEM, HEAD = 32, 1280
STAGES = (
    Stage(expansion=1, width=16, blocks=1, stride=1),
    Stage(expansion=6, width=24, blocks=2, stride=2),
    Stage(expansion=6, width=32, blocks=3, stride=2),
    Stage(expansion=6, width=64, blocks=4, stride=2),
    Stage(expansion=6, width=96, blocks=3, stride=1),
    Stage(expansion=6, width=160, blocks=3, stride=2),
    Stage(expansion=6, width=320, blocks=1, stride=1),
)


def mobilenet_v2(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network with 25 width variables: 16 inside blocks, 7 of stages, and those of the first and last convolution.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("mobilenet_v2", resolution=resolution, in_channels=in_channels)
    add_blocks(net, blocks_of(STAGES, stem=STEM, activation="relu6"), stem=STEM, activation="relu6")
    net.add("head", Conv(width=net.width(HEAD), activation="relu6"))
    net.pooled()
    return net.classified(num_classes)
