"""An activation of a tensor that others read as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgewidth.graph.operators.operator import Operator

if TYPE_CHECKING:
    from edgewidth.graph.widths import TensorShape


class Activate(Operator):
    """Its activation and nothing else. What only the activation reads has it as an attribute."""

    op: Literal["activate"] = "activate"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        return inputs[0]
