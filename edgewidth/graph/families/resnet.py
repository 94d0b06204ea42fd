"""Residual networks of basic blocks (He et al. 2015, arXiv 1512.03385) with their widths left open.

``resnet18`` is that of table 1. ``resnet8`` is MLPerf Tiny's image classification network (Banbury et al. 2021, arXiv
2106.07597, section 4.2) for 32 pixels and 10 classes, as the benchmark's reference implementation has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from edgewidth.graph.families.builder import Builder
from edgewidth.graph.operators import Add, Conv, MaxPool

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Described
    from edgewidth.resolution import Resolution


class Block(NamedTuple):
    """Two 3×3 convolutions of so many channels, the first with a stride, added to the input."""

    width: int
    stride: int = 1


RESNET18 = (Block(64), Block(64), Block(128, 2), Block(128), Block(256, 2), Block(256), Block(512, 2), Block(512))
RESNET8 = (Block(16), Block(32, 2), Block(64, 2))


def resnet18(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network with 12 width variables: 8 inside blocks, and 4 that the blocks of equal size share.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("resnet18", resolution=resolution, in_channels=in_channels)
    first, pool, *strides = net.fitted((2, 2, *(block.stride for block in RESNET18)))
    trunk = net.width(64)
    net.add("stem", Conv(width=trunk, kernel=7, stride=first, activation="relu"))
    net.add("stem_pool", MaxPool(kernel=3, stride=pool, padding="same"))
    _add_blocks(net, RESNET18, strides, trunk, shortcut="batch_norm")
    net.pooled()
    return net.classified(num_classes)


def resnet8(*, resolution: Resolution, in_channels: int, num_classes: int) -> Described:
    """The network with 6 width variables: 3 inside blocks, and 3 that they are added to. Shortcuts have a bias.

    Raises:
        InputError: The resolution does not fit.
    """
    net = Builder("resnet8", resolution=resolution, in_channels=in_channels)
    trunk = net.width(16)
    net.add("stem", Conv(width=trunk, kernel=3, activation="relu"))
    strides = net.fitted([block.stride for block in RESNET8])
    _add_blocks(net, RESNET8, strides, trunk, shortcut="bias")
    net.pooled()
    return net.classified(num_classes)


def _add_blocks(
    net: Builder,
    blocks: Sequence[Block],
    strides: Sequence[int],
    trunk: str,
    *,
    shortcut: Literal["batch_norm", "bias"],
) -> None:
    """Blocks with these strides after layers whose output is ``trunk`` wide.

    Where the published block changes size or width, a 1×1 convolution with ``shortcut`` brings its input to it.
    """
    for number, (block, stride) in enumerate(zip(blocks, strides, strict=True), start=1):
        before = net.last
        inner = Conv(width=net.width(block.width), kernel=3, stride=stride, activation="relu")
        net.add(f"conv{number}a", inner)
        projected = block.stride > 1 or block.width != net.bases[trunk]
        if projected:
            trunk = net.width(block.width)
        net.add(f"conv{number}b", Conv(width=trunk, kernel=3))
        after = net.last
        if projected:
            net.add(f"shortcut{number}", Conv(width=trunk, stride=stride, affine=shortcut), before)
            before = net.last
        net.add(f"add{number}", Add(activation="relu"), after, before)
