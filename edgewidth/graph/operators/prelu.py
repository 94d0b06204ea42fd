"""The rectifier whose slopes are trained (He et al. 2015, arXiv 1502.01852)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgewidth.graph.operators.operator import Operator

if TYPE_CHECKING:
    from edgewidth.graph.widths import Axes, TensorShape


class PRelu(Operator):
    """x where it is positive, and elsewhere x times a slope that every channel has of its own."""

    op: Literal["prelu"] = "prelu"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        return inputs[0]

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """(channels,): the slopes."""
        return (inputs[0].channels,)

    def initial(self, normal: Any, fan_in: int) -> Any:
        """About 0.25, as published. They differ, because layers are told apart in files by their numbers."""
        del fan_in
        return 0.25 + normal / 32
