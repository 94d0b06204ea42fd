"""What a configuration costs by counting: multiply-accumulates, parameters, memory."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import LayerShape

    Array = NDArray[np.float64]


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


class LayerFactor(NamedTuple):
    """What one layer costs at every choice of the width variables that it depends on, ascending in ``scope``.

    Arrays have one axis for each of these.
    """

    scope: tuple[int, ...]
    macs: Array
    parameters: Array
    channels: Array
    """Output channels of a layer with weights, each with a bias and quantisation parameters; else 0."""
    activations: Array


def layer_factors(space: SearchSpace) -> tuple[LayerFactor, ...]:
    """The costs of every layer as functions of the width variables; summed, or the most of them, they are ``costs``."""
    names = [variable.name for variable in space.variables]
    factors = []
    for shape in space.network.shapes:
        ends = (shape.in_width, shape.out_width)
        scope = tuple(sorted({names.index(width) for width in ends if isinstance(width, str)}))
        grid = [space.variables[variable].choices for variable in scope]
        values = np.zeros((4, *(len(choices) for choices in grid)))
        for place in product(*(range(len(choices)) for choices in grid)):
            widths = {names[v]: choices[i] for v, choices, i in zip(scope, grid, place, strict=True)}
            in_width, out_width = (width if isinstance(width, int) else widths[width] for width in ends)
            layer = layer_costs(shape, in_width, out_width)
            channels = out_width if layer.parameters else 0
            counts = (layer.macs, layer.parameters, channels, layer.peak_activations)
            for kind, count in enumerate(counts):
                values[(kind, *place)] = count
        factors.append(LayerFactor(scope, *values))
    return tuple(factors)
