"""What a configuration costs by counting: multiply-accumulates, parameters, memory."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.widths import lengths, total, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Widths

    Array = NDArray[np.float64]


class Costs(NamedTuple):
    """Counted, not measured. Parameters include the folded biases."""

    macs: int
    parameters: int
    peak_activations: int
    """The most input and output elements of one layer that live at once."""


def layer_costs(layer: Layer, widths: Widths) -> Costs:
    """The costs of one layer at given widths; element counts, so bytes at int8."""
    weights = math.prod(lengths(layer.kernel, widths)) if layer.kernel else 0
    biases = total(layer.output.channels, widths) if layer.operator.biased else 0
    activations = sum(tensor.elements(widths) for tensor in (*layer.reads, layer.output))
    return Costs(weights * layer.output.pixels, weights + biases, activations)


def costs(space: SearchSpace, config: ChannelConfig) -> Costs:
    """The costs of a configuration. Peak activations are exact for a chain, a lower bound with long skips."""
    widths = space.widths(config)
    layers = [layer_costs(layer, widths) for layer in space.network.layers]
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
    for layer in space.network.layers:
        channels = (segment for tensor in (*layer.reads, layer.output) for segment in tensor.channels)
        scope = tuple(sorted(names.index(name) for name in variables_of(tuple(channels))))
        grid = [space.variables[variable].choices for variable in scope]
        values = np.zeros((*(len(choices) for choices in grid), 4))
        for place in product(*(range(len(choices)) for choices in grid)):
            widths = {names[v]: choices[i] for v, choices, i in zip(scope, grid, place, strict=True)}
            counted = layer_costs(layer, widths)
            channels_out = total(layer.output.channels, widths) if layer.kernel else 0
            values[place] = counted.macs, counted.parameters, channels_out, counted.peak_activations
        factors.append(LayerFactor(scope, *np.moveaxis(values, -1, 0)))
    return tuple(factors)
