"""What a configuration costs by counting: multiply-accumulates, parameters, memory."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import LayerShape
    from edgewidth.records.measurement import Suffix

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


class FileSize(NamedTuple):
    """What a model file is made of, in bytes."""

    weight: int
    channel: int
    """Bias, scales and zero points of one output channel."""
    layer: int
    """What describes a layer."""


FILE_SIZES: dict[tuple[Precision, str], FileSize] = {
    (Precision.INT8, ".tflite"): FileSize(1, 28, 809),
    (Precision.FLOAT32, ".tflite"): FileSize(4, 4, 647),
    (Precision.INT8, ".onnx"): FileSize(1, 17, 1175),
    (Precision.FLOAT32, ".onnx"): FileSize(4, 4, 296),
}
"""Fitted to 32 variants of MobileNet-v1 each; weights and channels explain their sizes to 60 bytes."""
METADATA_BYTES = 2_000
"""Normalisation and descriptions in an emitted file; at most, measured with both formats."""


def file_bytes(layer: LayerFactor, precision: Precision, suffix: Suffix) -> Array:
    """What a layer adds to a model file: an array as those of the layer."""
    size = FILE_SIZES[precision, suffix]
    return (layer.parameters - layer.channels) * size.weight + layer.channels * size.channel + size.layer


def metadata_bytes(class_names: Sequence[str], suffix: Suffix) -> int:
    """What an emitted file has that a variant has not: each class name as JSON, and in a .tflite as plain text too."""
    as_json = sum(len(json.dumps(name)) + len("  ,\n") for name in class_names)
    as_text = sum(len(name.encode()) + len("\n") for name in class_names)
    return METADATA_BYTES + as_json + (as_text if suffix == ".tflite" else 0)


def element_bytes(precision: Precision) -> int:
    """Of one element of an activation."""
    return 1 if precision is Precision.INT8 else 4
