"""MobileNet-v1 (Howard et al. 2017, arXiv 1704.04861, table 1) with its widths left open."""

from __future__ import annotations

from edgewidth.errors import InputError
from edgewidth.graph.operators import Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.spec import INPUT, NetworkSpec, Node

WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
"""Output channels of the first convolution and the 13 pointwise ones, at width multiplier 1.0."""

STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Strides of the first convolution and the 13 depthwise ones: 224 pixels become 7."""

SMALL_STRIDES = (2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1)
"""The same with one downsampling step left out, so that 32 pixels become 2 and not 1."""


def mobilenet_v1(
    *, resolution: int, in_channels: int, num_classes: int, strides: tuple[int, ...] | None = None
) -> NetworkSpec:
    """The network as a chain of 14 width variables, ``w0`` … ``w13``.

    ``strides`` None: the published ones, or one downsampling step fewer where the last map would be below 2×2.

    Raises:
        InputError: A resolution that is not a multiple of 32 in 32…224, or strides that are not fourteen 1s and 2s.
    """
    if resolution % 32 or not 32 <= resolution <= 224:
        raise InputError(
            f"The resolution {resolution} does not fit mobilenet_v1.",
            remedy="Use a multiple of 32 from 32 to 224.",
        )
    if strides is None:
        strides = STRIDES if resolution >= 64 else SMALL_STRIDES
    if len(strides) != len(WIDTHS) or not set(strides) <= {1, 2}:
        raise InputError(f"mobilenet_v1 takes {len(WIDTHS)} strides of 1 or 2.")
    conv = Conv(width="w0", kernel=3, stride=strides[0], activation="relu6")
    nodes = [Node(name="conv0", operator=conv, inputs=(INPUT,))]
    for i in range(1, len(WIDTHS)):
        depthwise = Depthwise(kernel=3, stride=strides[i], activation="relu6")
        pointwise = Conv(width=f"w{i}", activation="relu6")
        nodes += [
            Node(name=f"depthwise{i}", operator=depthwise, inputs=(nodes[-1].name,)),
            Node(name=f"pointwise{i}", operator=pointwise, inputs=(f"depthwise{i}",)),
        ]
    nodes += [
        Node(name="pool", operator=GlobalAveragePool(), inputs=(nodes[-1].name,)),
        Node(name="logits", operator=Dense(width=num_classes), inputs=("pool",)),
    ]
    return NetworkSpec(family="mobilenet_v1", resolution=resolution, in_channels=in_channels, nodes=tuple(nodes))
