"""What a network is made of, before anything is measured or trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from edgewidth.documents import Document, Record
from edgewidth.graph.costs import layer_costs
from edgewidth.graph.operators.activation import name_of
from edgewidth.graph.widths import Widths, total, variables_of

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace, WidthVariable
    from edgewidth.graph.spec import Layer


class LayerSummary(Record):
    """One layer at the base widths."""

    layer: str
    operator: str
    activation: str
    size: tuple[int, ...]
    """Pixels of its output, (height, width); empty for a vector."""
    channels: int
    """Of its output."""
    variables: tuple[str, ...]
    """The width variables among these channels."""
    macs: int
    parameters: int
    fixed: str | None = None
    """Why channels that it makes cannot vary; None: all that it makes can, or it makes none."""


class VariableSummary(Record):
    """One width variable."""

    variable: str
    base: int
    """Its width in the network as it is described."""
    choices: tuple[int, ...]
    layers: tuple[str, ...]
    """Those that make as many channels."""


class NetworkSummary(Document):
    """A network: its layers, its width variables, what is fixed and why, and what it costs at the base widths."""

    schema_name: ClassVar[str] = "edgewidth/network"
    schema_version: ClassVar[int] = 1

    network: str
    size: tuple[int, ...]
    """Pixels of its input, (height, width)."""
    in_channels: int
    outputs: int
    macs: int
    parameters: int
    configurations: int
    """How many there are in the search space."""
    variables: tuple[VariableSummary, ...]
    layers: tuple[LayerSummary, ...]

    @classmethod
    def of(cls, space: SearchSpace, fixed: dict[str, str]) -> Self:
        """The summary of a search space; ``fixed`` says by layer why channels that it makes cannot vary."""
        network = space.network
        bases = {variable.name: variable.base for variable in space.variables}
        layers = tuple(_layer(layer, bases, fixed.get(layer.name)) for layer in network.layers)
        return cls(
            network=network.family,
            size=network.input.size,
            in_channels=network.in_channels,
            outputs=network.outputs,
            macs=sum(layer.macs for layer in layers),
            parameters=sum(layer.parameters for layer in layers),
            configurations=space.size,
            variables=tuple(_variable(variable, network.layers) for variable in space.variables),
            layers=layers,
        )


def _layer(layer: Layer, bases: Widths, fixed: str | None) -> LayerSummary:
    counted = layer_costs(layer, bases)
    return LayerSummary(
        layer=layer.name,
        operator=layer.operator.kind,
        activation=name_of(layer.operator.activation),
        size=layer.output.size,
        channels=total(layer.output.channels, bases),
        variables=variables_of(layer.output.channels),
        macs=counted.macs,
        parameters=counted.parameters,
        fixed=fixed,
    )


def _variable(variable: WidthVariable, layers: tuple[Layer, ...]) -> VariableSummary:
    making = tuple(
        layer.name for layer in layers if layer.operator.mixes and variable.name in variables_of(layer.output.channels)
    )
    return VariableSummary(variable=variable.name, base=variable.base, choices=variable.choices, layers=making)
