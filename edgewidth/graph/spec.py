"""A network as data: a graph of operators whose widths are fixed numbers or named width variables.

From this one description come the slimmable torch network, the plain torch network, the Keras and ONNX
networks, the terms of the latency table and the graph of the random field.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from edgewidth.documents import Record
from edgewidth.graph.operators import AnyOperator
from edgewidth.graph.version1 import network_of_version_1
from edgewidth.graph.widths import Axes, Name, TensorShape, total, variables_of
from edgewidth.resolution import Resolution, sides

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator

INPUT = "input"
"""What the first node names as its input."""


class Node(Record):
    """An operator and what it reads: earlier nodes by name, or ``INPUT``."""

    name: Name
    operator: AnyOperator
    inputs: tuple[str, ...]


class Layer(NamedTuple):
    """A node in its place in the network: with what follows from what it reads."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    reads: tuple[TensorShape, ...]
    """The shapes of its inputs."""
    output: TensorShape
    kernel: Axes
    """The axes of its kernel; empty for a layer without weights."""


class NetworkSpec(Record):
    """Nodes in an order in which they can be computed; the last one gives the outputs, such as logits.

    ``resolution``: pixels of an image, one number for a square or (height, width).
    """

    family: Name
    resolution: Resolution
    in_channels: Annotated[int, Field(ge=1)]
    nodes: tuple[Node, ...]

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, content: Any) -> Any:
        return network_of_version_1(content) if isinstance(content, dict) and "layers" in content else content

    @model_validator(mode="after")
    def _is_a_graph(self) -> Self:
        if not self.nodes:
            raise ValueError("a network has at least one layer")
        output = self.layers[-1].output
        if output.size or variables_of(output.channels):
            raise ValueError(f"the last layer, {self.nodes[-1].name}, must give a vector of fixed length")
        return self

    @property
    def input(self) -> TensorShape:
        """The shape of an image."""
        return TensorShape(sides(self.resolution), (self.in_channels,))

    @property
    def outputs(self) -> int:
        """How many numbers the network gives, such as one logit for each class."""
        return total(self.layers[-1].output.channels, {})

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every node in its place, in order."""
        known = {INPUT: self.input}
        layers = []
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in known]
            if missing:
                raise ValueError(f"layer {node.name}: input {missing[0]} is not an earlier layer")
            if node.name in known:
                raise ValueError(f"layer {node.name} exists twice")
            reads = tuple(known[name] for name in node.inputs)
            try:
                output = node.operator.output_shape(reads)
            except ValueError as error:
                raise ValueError(f"layer {node.name}: {error}") from error
            known[node.name] = output
            kernel = node.operator.kernel_axes(reads)
            layers.append(Layer(node.name, node.operator, node.inputs, reads, output, kernel))
        return tuple(layers)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The names of the width variables, in order of first use."""
        return variables_of(tuple(segment for layer in self.layers for segment in layer.output.channels))
