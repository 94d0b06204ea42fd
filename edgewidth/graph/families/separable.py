"""The depthwise separable convolution of MobileNet-v1 and of DS-CNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.operators import Conv, Depthwise

if TYPE_CHECKING:
    from edgewidth.graph.families.builder import Builder
    from edgewidth.graph.operators.activation import Activation


def add_separable(net: Builder, number: int, width: int, *, stride: int, activation: Activation) -> None:
    """A 3×3 convolution of every channel by itself, then a 1×1 convolution to a new variable, ``width`` wide."""
    net.add(f"depthwise{number}", Depthwise(kernel=3, stride=stride, activation=activation))
    net.add(f"pointwise{number}", Conv(width=net.width(width), activation=activation))
