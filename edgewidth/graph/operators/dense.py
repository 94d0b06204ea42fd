"""The fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from edgewidth.graph.operators.operator import Affine, NewChannels, channels_of
from edgewidth.graph.widths import Axes, TensorShape


class Dense(Affine):
    """A product with a matrix, and a bias: from a vector, or all elements of a map, to a vector of ``width`` channels.

    A map is read as torch's ``flatten`` orders it: channel after channel, each row by row.
    """

    mixes: ClassVar[bool] = True

    op: Literal["dense"] = "dense"
    width: NewChannels
    affine: Literal["batch_norm", "bias", "none"] = "bias"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        del inputs  # of any shape
        return TensorShape((), channels_of(self.width))

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(out, in), of a map (out, in, height, width)."""
        (source,) = inputs
        return channels_of(self.width), source.channels, *((length,) for length in source.size)

    def initial(self, normal: Any, fan_in: int) -> Any:
        """Of variance 1 / fan-in: no rectifier follows the logits."""
        return normal / math.sqrt(fan_in)
