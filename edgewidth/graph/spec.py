"""A network as data: a graph of layers whose widths are fixed numbers or named width variables.

From this one description come the slimmable torch network, the plain torch network, the Keras and ONNX
networks, the terms of the latency table and the graph of the random field.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from edgewidth.documents import Record

INPUT = "input"
"""What the first layer names as its input."""


Op = Literal["conv", "depthwise", "add", "global_average_pool", "dense"]
Activation = Literal["none", "relu6"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Width = Annotated[int, Field(ge=1)]


class LayerSpec(Record):
    """One layer. ``conv`` and ``depthwise`` are followed by batch normalisation and have no bias.

    ``width`` is the number of output channels, or the name of the width variable that it is; ``depthwise``,
    ``add`` and ``global_average_pool`` have the width of their input and state none. Convolutions pad as
    TFLite's SAME does.
    """

    name: Name
    op: Op
    inputs: tuple[str, ...]
    width: Name | Width | None = None
    kernel: Annotated[int, Field(ge=1)] = 1
    stride: Annotated[int, Field(ge=1)] = 1
    activation: Activation = "none"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.width is None) != (self.op not in {"conv", "dense"}):
            raise ValueError(f"layer {self.name}: conv and dense state a width, other layers do not")
        if len(self.inputs) != (2 if self.op == "add" else 1):
            raise ValueError(f"layer {self.name}: {self.op} takes {2 if self.op == 'add' else 1} input(s)")
        return self

    def out_size(self, in_size: int) -> int:
        """The output's pixels along one side; SAME padding makes it the input's over the stride, rounded up."""
        return 1 if self.op in {"global_average_pool", "dense"} else math.ceil(in_size / self.stride)


class LayerShape(NamedTuple):
    """A layer with what follows from its place in the network; spatial sizes in pixels (height = width)."""

    layer: LayerSpec
    in_size: int
    out_size: int
    in_width: str | int
    out_width: str | int


class NetworkSpec(Record):
    """Layers in an order in which they can be computed; the last one gives the logits."""

    family: Name
    resolution: Annotated[int, Field(ge=1)]
    in_channels: Annotated[int, Field(ge=1)]
    num_classes: Annotated[int, Field(ge=2)]
    layers: tuple[LayerSpec, ...]

    @model_validator(mode="after")
    def _is_a_graph(self) -> Self:
        known: dict[str, tuple[str | int, int]] = {INPUT: (self.in_channels, self.resolution)}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in known]
            if missing:
                raise ValueError(f"layer {layer.name}: input {missing[0]} is not an earlier layer")
            if layer.name in known:
                raise ValueError(f"layer {layer.name} exists twice")
            widths, sizes = (set(inputs) for inputs in zip(*(known[name] for name in layer.inputs), strict=True))
            if len(widths) != 1:
                raise ValueError(f"layer {layer.name} adds layers of different widths: {sorted(map(str, widths))}")
            if len(sizes) != 1:
                raise ValueError(f"layer {layer.name} adds layers of different sizes: {sorted(sizes)}")
            if layer.op == "dense" and sizes != {1}:
                raise ValueError(f"layer {layer.name} is dense, and its input is not pooled to one pixel")
            known[layer.name] = (layer.width or widths.pop(), layer.out_size(sizes.pop()))
        if not self.layers or self.layers[-1].op != "dense" or self.layers[-1].width != self.num_classes:
            raise ValueError("the last layer must be dense with as many outputs as there are classes")
        return self

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Every layer with its spatial sizes and its resolved widths, in order."""
        sizes, widths = {INPUT: self.resolution}, dict[str, str | int]({INPUT: self.in_channels})
        shapes = []
        for layer in self.layers:
            in_size, in_width = sizes[layer.inputs[0]], widths[layer.inputs[0]]
            out_size = layer.out_size(in_size)
            out_width = in_width if layer.width is None else layer.width
            sizes[layer.name], widths[layer.name] = out_size, out_width
            shapes.append(LayerShape(layer, in_size, out_size, in_width, out_width))
        return tuple(shapes)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names of the width variables, in order of first use."""
        return tuple(dict.fromkeys(layer.width for layer in self.layers if isinstance(layer.width, str)))
