"""The product of two tensors, as in squeeze-and-excite."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from edgewidth.graph.operators.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.widths import TensorShape


class Multiply(Operator):
    """Multiplies two tensors with the same channels; the second may have one number for all pixels of a channel."""

    least_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[int | None] = 2

    op: Literal["multiply"] = "multiply"

    def _output_of(self, inputs: Sequence[TensorShape]) -> TensorShape:
        first, second = inputs
        if first.channels != second.channels:
            raise ValueError(
                f"multiply takes inputs of the same channels, not of different widths {first.channels} "
                f"and {second.channels}"
            )
        if second.size != first.size and second.pixels != 1:
            raise ValueError(f"multiply takes a second input of size {first.size} or of one pixel, not {second.size}")
        if not first.size and second.size:
            raise ValueError("multiply takes the map first and the vector second")
        return first
