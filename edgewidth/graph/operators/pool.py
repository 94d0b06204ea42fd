"""Pooling: the mean or the greatest of the pixels in a window, or of all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgewidth.graph.operators.operator import Operator, map_size
from edgewidth.graph.operators.window import Sides, Window
from edgewidth.graph.widths import TensorShape

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pool(Window):
    """What pooling over windows shares.

    With ``ceil_mode`` a last window that only in part lies on the map and its padding counts too, if it begins there.
    """

    padding: Literal["same"] | Sides = ((0, 0), (0, 0))
    ceil_mode: bool = False

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        (source,) = inputs
        output = self._output_with(source, source.channels)
        pads = self.padding if self.padding != "same" else ()
        if any(max(sides) > kernel // 2 for sides, kernel in zip(pads, self.kernel, strict=False)):
            raise ValueError(f"{self.op} has a padding of more than half its kernel")
        return output

    def _windows(self, axis: int, length: int) -> int:
        count = super()._windows(axis, length)
        if self.padding == "same" or not self.ceil_mode:
            return count
        before, after = self.padding[axis]
        stride = self.stride[axis]
        rounded_up = -(-(length + before + after - self.kernel[axis]) // stride) + 1
        return rounded_up - 1 if (rounded_up - 1) * stride >= length + before else rounded_up


class MaxPool(Pool):
    """The greatest pixel in each window."""

    op: Literal["max_pool"] = "max_pool"


class AveragePool(Pool):
    """The mean of each window, of the pixels on the map; with ``count_include_pad`` of those in its padding too."""

    op: Literal["average_pool"] = "average_pool"
    count_include_pad: bool = False

    def counts(self, size: Sequence[int]) -> NDArray[Any]:
        """How many pixels each window's sum over a map of ``size`` pixels is divided by: (height, width), integers."""
        along_height, along_width = (self._counts(axis, length) for axis, length in enumerate(size))
        return along_height[:, None] * along_width

    def _counts(self, axis: int, length: int) -> NDArray[np.int64]:
        before, after = self._placed(axis, length)
        starts = np.arange(self._windows(axis, length)) * self.stride[axis] - before
        first, last = 0, length
        if self.count_include_pad:
            own_after = after if self.padding == "same" else self.padding[axis][1]
            first, last = -before, length + max(own_after, 0)
        return np.minimum(starts + self.kernel[axis], last) - np.maximum(starts, first)


class GlobalPool(Operator):
    """What pooling over all pixels shares: from a map to a vector, or with ``keepdims`` to a map of one pixel."""

    keepdims: bool = False

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        map_size(self.op, inputs[0])
        return TensorShape((1, 1) if self.keepdims else (), inputs[0].channels)


class GlobalAveragePool(GlobalPool):
    """The mean of all pixels of every channel."""

    op: Literal["global_average_pool"] = "global_average_pool"


class GlobalMaxPool(GlobalPool):
    """The greatest of all pixels of every channel."""

    op: Literal["global_max_pool"] = "global_max_pool"
