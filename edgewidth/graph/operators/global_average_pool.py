"""The mean over all pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgewidth.graph.operators.operator import Operator
from edgewidth.graph.widths import TensorShape


class GlobalAveragePool(Operator):
    """From a map to a vector: the mean of every channel."""

    op: Literal["global_average_pool"] = "global_average_pool"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        if not inputs[0].size:
            raise ValueError("global_average_pool takes a map, and its input is a vector")
        return TensorShape((), inputs[0].channels)
