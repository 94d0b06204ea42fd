"""Where branches of a network meet: tensors that are added, as in a residual connection, or joined along channels."""

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
