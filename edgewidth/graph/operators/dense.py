"""The fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from edgewidth.graph.operators.operator import Operator
from edgewidth.graph.widths import Axes, Segment, TensorShape


class Dense(Operator):
    """A product with a matrix, and a bias: from a vector to one of ``width`` channels."""

    mixes: ClassVar[bool] = True

    op: Literal["dense"] = "dense"
    width: Segment

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        if inputs[0].size:
            raise ValueError("dense takes a vector, and its input is not pooled")
        return TensorShape((), (self.width,))

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(out, in)."""
        return (self.width,), inputs[0].channels

    def initial(self, normal: Any, fan_in: int) -> Any:
        """Of variance 1 / fan-in: no rectifier follows the logits."""
        return normal / math.sqrt(fan_in)
