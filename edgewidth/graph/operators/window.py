"""What convolutions and pooling share: a window that moves over a map, and the padding around that map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgewidth.graph.operators.operator import Operator, map_size
from edgewidth.graph.widths import TensorShape, Width

if TYPE_CHECKING:
    from edgewidth.graph.widths import Channels


def _both(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _all_sides(value: Any) -> Any:
    pair = _both(value)
    return tuple(map(_both, pair)) if isinstance(pair, list | tuple) else pair


Pair = Annotated[tuple[Width, Width], BeforeValidator(_both)]
"""Along height and along width; one number stands for both."""
Pixels = Annotated[int, Field(ge=0)]
Sides = Annotated[tuple[tuple[Pixels, Pixels], tuple[Pixels, Pixels]], BeforeValidator(_all_sides)]
"""(top, bottom) and (left, right). Two numbers are those along height and along width, and one number is all four."""


class Window(Operator):
    """A window of ``kernel`` pixels that moves by ``stride``.

    ``padding`` is ``"same"``, as TensorFlow and TFLite have it: as many pixels as make the output ceil(size / stride)
    large, the odd one after the map. Or it is how many pixels lie on each side.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Literal["same"] | Sides = "same"

    @property
    def kind(self) -> str:
        """The operator with its kernel."""
        return f"{self.op}{self.kernel[0]}x{self.kernel[1]}"

    @property
    def taps(self) -> int:
        """Elements of the kernel in space."""
        return math.prod(self.kernel)

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from the first to the last that a window reads, both counted."""
        return self.kernel

    def pads(self, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """The padding that windows over a map of ``size`` pixels really read: (top, bottom) and (left, right)."""
        along_height, along_width = (self._pads(axis, length) for axis, length in enumerate(size))
        return along_height, along_width

    def is_same(self, size: Sequence[int]) -> bool:
        """Whether the windows over a map of ``size`` pixels lie where SAME padding puts them."""
        return all(self._placed(axis, length) == self._same(axis, length) for axis, length in enumerate(size))

    def _output_with(self, source: TensorShape, channels: Channels) -> TensorShape:
        size = map_size(self.op, source)
        found = tuple(self._windows(axis, length) for axis, length in enumerate(size))
        if min(found) < 1:
            raise ValueError(f"{self.op} has a kernel that is larger than its input of {size[0]}×{size[1]} pixels")
        return TensorShape(found, channels)

    def _windows(self, axis: int, length: int) -> int:
        """How many windows there are along an axis of this length."""
        if self.padding == "same":
            return math.ceil(length / self.stride[axis])
        return (length + sum(self.padding[axis]) - self.reach[axis]) // self.stride[axis] + 1

    def _placed(self, axis: int, length: int) -> tuple[int, int]:
        """Pixels that windows read before an axis and after it; below zero where pixels at the end are not read."""
        if self.padding == "same":
            return self._same(axis, length)
        before = self.padding[axis][0]
        return before, (self._windows(axis, length) - 1) * self.stride[axis] + self.reach[axis] - length - before

    def _pads(self, axis: int, length: int) -> tuple[int, int]:
        before, after = self._placed(axis, length)
        return before, max(after, 0)

    def _same(self, axis: int, length: int) -> tuple[int, int]:
        stride, reach = self.stride[axis], self.reach[axis]
        pixels = (math.ceil(length / stride) - 1) * stride + reach - length
        return max(pixels, 0) // 2, pixels - max(pixels, 0) // 2
