"""Operators that change the size of a tensor and not its channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgewidth.graph.operators.operator import Operator, map_size
from edgewidth.graph.operators.window import Pair, Sides
from edgewidth.graph.widths import TensorShape


class Flatten(Operator):
    """From a map of one pixel to a vector. A dense layer reads a larger map as it is."""

    op: Literal["flatten"] = "flatten"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        height, width = map_size(self.op, inputs[0])
        if height * width != 1:
            raise ValueError(f"flatten takes a map of one pixel, and its input has {height}×{width}")
        return TensorShape((), inputs[0].channels)


class Unflatten(Operator):
    """From a vector to a map of one pixel."""

    op: Literal["unflatten"] = "unflatten"

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        if inputs[0].size:
            raise ValueError("unflatten takes a vector, and its input is a map")
        return TensorShape((1, 1), inputs[0].channels)


class ZeroPad(Operator):
    """Zeros around a map, as many as ``padding`` says for each side."""

    op: Literal["zero_pad"] = "zero_pad"
    padding: Sides

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        size = map_size(self.op, inputs[0])
        padded = tuple(length + sum(sides) for length, sides in zip(size, self.padding, strict=True))
        return TensorShape(padded, inputs[0].channels)


class Upsample(Operator):
    """A map scaled to ``size`` pixels.

    ``nearest`` takes pixel floor(i · in / out) for pixel i. ``bilinear`` weighs the four around it: with
    ``align_corners`` the centres of the corner pixels stay where they are, without the corners of the map.
    """

    op: Literal["upsample"] = "upsample"
    size: Pair
    mode: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False

    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        map_size(self.op, inputs[0])
        if self.align_corners and self.mode == "nearest":
            raise ValueError("upsample aligns corners where it is bilinear, and not where it takes the nearest pixel")
        return TensorShape(self.size, inputs[0].channels)
