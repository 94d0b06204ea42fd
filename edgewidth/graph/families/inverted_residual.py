"""The inverted residual block of MobileNet-v2 and -v3 and of EfficientNet, and networks that are rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.graph.operators import Add, Conv, Depthwise, GlobalAveragePool, Multiply

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Builder
    from edgewidth.graph.operators.activation import Activation


class Block(NamedTuple):
    """One block: from its input to ``expanded`` channels, through a depthwise convolution, to ``width`` channels."""

    kernel: int
    expanded: int
    width: int
    excite: bool
    """Whether it has squeeze-and-excite (Hu et al. 2017, arXiv 1709.01507)."""
    activation: Activation
    stride: int


class Stage(NamedTuple):
    """Blocks alike: the first one expands the width before it, the others their own; only the first has a stride."""

    expansion: int
    width: int
    blocks: int
    stride: int
    kernel: int = 3


def blocks_of(stages: Sequence[Stage], *, stem: int, activation: Activation) -> tuple[Block, ...]:
    """The blocks of all stages, which follow a convolution of ``stem`` channels; none has squeeze-and-excite."""
    blocks, before = [], stem
    for stage in stages:
        for number in range(stage.blocks):
            stride = stage.stride if number == 0 else 1
            expanded = stage.expansion * before
            blocks.append(
                Block(stage.kernel, expanded, stage.width, excite=False, activation=activation, stride=stride)
            )
            before = stage.width
    return tuple(blocks)


def add_blocks(net: Builder, blocks: Sequence[Block], *, stem: int, activation: Activation) -> None:
    """The first convolution, 3×3 with stride 2, and the blocks."""
    first, *strides = net.fitted((2, *(block.stride for block in blocks)))
    trunk = net.width(stem)
    net.add("stem", Conv(width=trunk, kernel=3, stride=first, activation=activation))
    for number, (block, stride) in enumerate(zip(blocks, strides, strict=True), start=1):
        trunk = _add_block(net, number, block, stride, trunk)


def _add_block(net: Builder, number: int, block: Block, stride: int, trunk: str) -> str:
    """Add one block to layers whose output is ``trunk`` wide, and return the variable of its own output's width.

    A block whose published form changes neither size nor width is added to its input, and so has the same variable.
    Where nothing is expanded, the depthwise convolution reads the input.
    """
    before, inner = net.last, trunk
    if block.expanded != net.bases[trunk]:
        inner = net.width(block.expanded)
        net.add(f"expand{number}", Conv(width=inner, activation=block.activation))
    depthwise = Depthwise(kernel=block.kernel, stride=stride, activation=block.activation)
    net.add(f"depthwise{number}", depthwise)
    if block.excite:
        _add_excite(net, number, inner)
    residual = block.stride == 1 and block.width == net.bases[trunk]
    if not residual:
        trunk = net.width(block.width)
    net.add(f"project{number}", Conv(width=trunk))
    if residual:
        net.add(f"add{number}", Add(), net.last, before)
    return trunk


def _add_excite(net: Builder, number: int, inner: str) -> None:
    """Squeeze-and-excite as MobileNet-v3 has it: a quarter of the channels between, and a hard sigmoid."""
    features = net.last
    squeezed = net.width(rounded(net.bases[inner] / 4))
    net.add(f"squeeze{number}", GlobalAveragePool(keepdims=True))
    net.add(f"reduce{number}", Conv(width=squeezed, affine="bias", activation="relu"))
    net.add(f"excite{number}", Conv(width=inner, affine="bias", activation="hard_sigmoid"))
    net.add(f"scale{number}", Multiply(), features, net.last)


def rounded(width: float) -> int:
    """The multiple of 8 nearest to a width, but at least 8 and no more than a tenth narrower, as the authors round."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8
