"""What a configuration costs by counting: multiply-accumulates, parameters, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgewidth.records.network import ChannelConfig, LayerShape, SearchSpace


class Costs(NamedTuple):
    """Counted, not measured. Parameters include the folded biases."""

    macs: int
    parameters: int
    peak_activations: int
    """The most input and output elements of one layer that live at once."""


def layer_costs(shape: LayerShape, in_width: int, out_width: int) -> Costs:
    """The costs of one layer at given widths; element counts, so bytes at int8."""
    layer = shape.layer
    pixels = shape.out_size**2
    taps = {"conv": layer.kernel**2 * in_width, "depthwise": layer.kernel**2, "dense": in_width}.get(layer.op, 0)
    parameters = (taps + 1) * out_width if taps else 0
    activations = len(layer.inputs) * shape.in_size**2 * in_width + pixels * out_width
    return Costs(taps * out_width * pixels, parameters, activations)


def costs(space: SearchSpace, config: ChannelConfig) -> Costs:
    """The costs of a configuration. Peak activations are exact for a chain, a lower bound with long skips."""
    widths = space.widths(config)

    def resolve(width: str | int) -> int:
        return width if isinstance(width, int) else widths[width]

    layers = [layer_costs(s, resolve(s.in_width), resolve(s.out_width)) for s in space.network.shapes]
    return Costs(
        macs=sum(layer.macs for layer in layers),
        parameters=sum(layer.parameters for layer in layers),
        peak_activations=max(layer.peak_activations for layer in layers),
    )
