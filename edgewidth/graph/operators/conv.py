"""Convolutions over maps: ``conv`` reads all channels, ``depthwise`` each output channel one of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from edgewidth.graph.operators.operator import Operator
from edgewidth.graph.widths import Axes, Segment, TensorShape, Width

Pair = Annotated[
    tuple[Width, Width], BeforeValidator(lambda value: (value, value) if isinstance(value, int) else value)
]
"""Along height and along width; one number stands for both."""


class Convolution(Operator):
    """What convolutions share. They have no bias, batch normalisation follows, and they pad as TFLite's SAME does."""

    normalised: ClassVar[bool] = True

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)

    def padding(self, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """SAME padding of a map of ``size`` pixels: (top, bottom) and (left, right); the odd one goes after."""
        along_height, along_width = map(_same_padding, size, self.kernel, self.stride)
        return along_height, along_width

    @property
    def kind(self) -> str:
        """The operator with its kernel."""
        return f"{self.op}{self.kernel[0]}x{self.kernel[1]}"

    @property
    def taps(self) -> int:
        """Elements of the kernel in space."""
        return math.prod(self.kernel)

    def _out_size(self, source: TensorShape) -> tuple[int, ...]:
        if len(source.size) != 2:
            raise ValueError(f"{self.op} takes a map, and its input has no height and width")
        return tuple(math.ceil(size / stride) for size, stride in zip(source.size, self.stride, strict=True))


class Conv(Convolution):
    """A convolution that makes ``width`` channels, each from all channels of its input."""

    mixes: ClassVar[bool] = True

    op: Literal["conv"] = "conv"
    width: Segment

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        return TensorShape(self._out_size(inputs[0]), (self.width,))

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(out, in, height, width)."""
        return (self.width,), inputs[0].channels, (self.kernel[0],), (self.kernel[1],)


class Depthwise(Convolution):
    """A convolution of every channel by itself."""

    op: Literal["depthwise"] = "depthwise"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        return TensorShape(self._out_size(inputs[0]), inputs[0].channels)

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(channels, 1, height, width)."""
        return inputs[0].channels, (1,), (self.kernel[0],), (self.kernel[1],)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    pixels = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return pixels // 2, pixels - pixels // 2
