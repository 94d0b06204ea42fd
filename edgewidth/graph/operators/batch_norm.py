"""Batch normalisation that follows no convolution, as before those of densenet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgewidth.graph.operators.operator import NORM_EPSILON, Epsilon, Operator

if TYPE_CHECKING:
    from edgewidth.graph.widths import Axes, TensorShape


class BatchNorm(Operator):
    """Batch normalisation of a map or a vector. In files it is a scale and a shift for each channel."""

    op: Literal["batch_norm"] = "batch_norm"
    epsilon: Epsilon = NORM_EPSILON

    @property
    def normalised(self) -> bool:
        """It is nothing else."""
        return True

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        return inputs[0]

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(channels,): the scale, once statistics are folded into it."""
        return (inputs[0].channels,)

    def initial(self, normal: Any, fan_in: int) -> Any:
        """Scales about 1."""
        del fan_in
        return 1 + normal / 8
