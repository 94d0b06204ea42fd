"""Where branches of a network meet: sums as in residual connections, products as in squeeze-and-excite, and joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from edgewidth.graph.operators.operator import Operator, Part, single_size
from edgewidth.graph.widths import TensorShape


class Add(Operator):
    """Adds two tensors whose channels are the same channels."""

    least_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[int | None] = 2

    op: Literal["add"] = "add"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        size = single_size(self.op, inputs)
        first, second = (source.channels for source in inputs)
        if first != second:
            raise ValueError(f"add takes inputs of the same channels, not of different widths {first} and {second}")
        return TensorShape(size, first)


class Multiply(Operator):
    """Multiplies two tensors with the same channels; the second may have one number for all pixels of a channel."""

    least_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[int | None] = 2

    op: Literal["multiply"] = "multiply"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
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


class Concatenate(Operator):
    """Joins the channels of its inputs in their order."""

    least_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[int | None] = None

    op: Literal["concatenate"] = "concatenate"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        size = single_size(self.op, inputs)
        return TensorShape(size, tuple(segment for source in inputs for segment in source.channels))

    def parts(self, inputs: Sequence[TensorShape], output: TensorShape) -> tuple[Part, ...]:
        """Every segment is read from the one input that has it."""
        return tuple(Part(segment, segment, output.pixels) for source in inputs for segment in source.channels)
