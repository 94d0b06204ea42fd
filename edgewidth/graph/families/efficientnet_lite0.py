"""EfficientNet-Lite0 with its widths left open.

EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1) for devices that compute in 8 bits: without
squeeze-and-excite, and with ReLU6 in place of SiLU (github.com/tensorflow/tpu, efficientnet/lite).
"""

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
    Stage(expansion=1, width=16, blocks=1, stride=1, kernel=3),
    Stage(expansion=6, width=24, blocks=2, stride=2, kernel=3),
    Stage(expansion=6, width=40, blocks=2, stride=2, kernel=5),
    Stage(expansion=6, width=80, blocks=3, stride=2, kernel=3),
    Stage(expansion=6, width=112, blocks=3, stride=1, kernel=5),
    Stage(expansion=6, width=192, blocks=4, stride=2, kernel=5),
    Stage(expansion=6, width=320, blocks=1, stride=1, kernel=3),
)


def efficientnet_lite0(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network with 24 width variables: 15 inside blocks, 7 of stages, and those of the first and last convolution.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("efficientnet_lite0", resolution=resolution, in_channels=in_channels)
    add_blocks(net, blocks_of(STAGES, stem=STEM, activation="relu6"), stem=STEM, activation="relu6")
    net.add("head", Conv(width=net.width(HEAD), activation="relu6"))
    net.pooled()
    return net.classified(num_classes)
