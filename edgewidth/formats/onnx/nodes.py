"""The nodes of every operator and every activation in an ONNX file: two tables, keyed by operator and by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, helper

from edgewidth.graph.operators import (
    Activate,
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concatenate,
    Conv,
    Dense,
    Depthwise,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Multiply,
    PRelu,
    Slice,
    Unflatten,
    Upsample,
    ZeroPad,
)
from edgewidth.graph.operators.activation import name_of
from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import resolve, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.operators.activation import Clamp
    from edgewidth.graph.operators.conv import Convolution
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Axes, Widths


INPUT_NAME = "image"
"""Of the network's input."""


def kernel_name(layer: str) -> str:
    """The name of a layer's kernel in the file."""
    return f"{layer}.kernel"


def bias_name(layer: str) -> str:
    """The name of a layer's bias in the file."""
    return f"{layer}.bias"


def kernel_axes(layer: Layer) -> Axes:
    """The axes of a layer's kernel as it is stored: one weight for each channel stands where its operator wants it."""
    if isinstance(layer.operator, BatchNorm):
        return layer.kernel[0], (1,), (1,), (1,)
    if isinstance(layer.operator, PRelu):
        return layer.kernel[0], *((1,) for _ in layer.output.size)
    return layer.kernel


class LayerNodes:
    """A layer's nodes as they are written, one after the other; the first has the layer's name.

    ``constants`` are those beside its weights, by name. Only whole numbers among them may follow the widths.
    """

    def __init__(self, layer: Layer, widths: Widths) -> None:
        self.layer = layer
        self.widths = widths
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs = [INPUT_NAME if name == INPUT else name for name in layer.inputs]
        activation = layer.operator.activation
        linear = OPERATORS[type(layer.operator)](self, layer.operator)
        last = ACTIVATIONS[name_of(activation)](self, activation, linear)
        if not self.nodes:
            self.add("Identity", last)
        self.nodes[0].name = layer.name
        self.nodes[-1].output[0] = layer.name

    @property
    def channels(self) -> int:
        """How many channels the layer gives."""
        return total(self.layer.output.channels, self.widths)

    @property
    def size(self) -> tuple[int, ...]:
        """Of its first input."""
        return self.layer.reads[0].size

    @property
    def weights(self) -> list[str]:
        """The names of its kernel and its bias."""
        return [kernel_name(self.layer.name), bias_name(self.layer.name)]

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """One more node; the name of its output."""
        output = f"{self.layer.name}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, numbers: list[int]) -> str:
        """One more constant; its name in the file."""
        name = f"{self.layer.name}.{name}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def number(self, value: float) -> str:
        """A real number as a constant, which all layers share; its name in the file."""
        name = f"number.{float(value)}"
        self.constants[name] = np.array(value, np.float32)
        return name


def _pads(pads: tuple[tuple[int, int], tuple[int, int]]) -> list[int]:
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]


def _conv(site: LayerNodes, operator: Convolution) -> str:
    groups = operator.groups if isinstance(operator, Conv) else total(site.layer.reads[0].channels, site.widths)
    return site.add(
        "Conv",
        *site.inputs,
        *site.weights,
        kernel_shape=operator.kernel,
        strides=operator.stride,
        dilations=operator.dilation,
        pads=_pads(operator.pads(site.size)),
        group=groups,
    )


def _dense(site: LayerNodes, _: Dense) -> str:
    if not site.size:
        return site.add("Gemm", *site.inputs, *site.weights, transB=1)
    # Of a map, a convolution with a kernel as large: its weights can then be cut as those of any other.
    return site.add("Flatten", site.add("Conv", *site.inputs, *site.weights, kernel_shape=site.size))


def _batch_norm(site: LayerNodes, _: BatchNorm) -> str:
    """A depthwise convolution of one pixel: in int8 it has a scale for each channel, and rounds once."""
    x = site.inputs[0] if site.size else _unflatten(site, site.inputs[0])
    y = site.add("Conv", x, *site.weights, kernel_shape=(1, 1), group=site.channels)
    return y if site.size else site.add("Flatten", y)


def _multiply(site: LayerNodes, _: Multiply) -> str:
    first, second = site.inputs
    if len(site.layer.reads[1].size) < len(site.size):
        second = _unflatten(site, second)
    return site.add("Mul", first, second)


def _unflatten(site: LayerNodes, x: str) -> str:
    return site.add("Unsqueeze", x, site.constant("axes", [2, 3]))


def _slice(site: LayerNodes, operator: Slice) -> str:
    before = site.layer.reads[0].channels[: operator.start]
    start = sum(resolve(segment, site.widths) for segment in before)
    places = {"start": [start], "stop": [start + site.channels], "axis": [1]}
    return site.add("Slice", *site.inputs, *(site.constant(name, value) for name, value in places.items()))


def _channel_shuffle(site: LayerNodes, operator: ChannelShuffle) -> str:
    groups, of_each, size = operator.groups, site.channels // operator.groups, site.size
    parts = site.add("Reshape", *site.inputs, site.constant("parts", [1, groups, of_each, -1]))
    dealt = site.add("Transpose", parts, perm=[0, 2, 1, 3])
    return site.add("Reshape", dealt, site.constant("shape", [1, site.channels, *size]))


def _average_pool(site: LayerNodes, operator: AveragePool) -> str:
    """Padding that counts is written out as a part of the map; a window that hangs over it counts what is there."""
    (x,), pads = site.inputs, operator.pads(site.size)
    if operator.count_include_pad and operator.padding != "same":
        x = _pad(site, x, operator.padding)
        over = (max(after - own[1], 0) for (_, after), own in zip(pads, operator.padding, strict=True))
        bottom, right = over
        pads = ((0, bottom), (0, right))
    return site.add("AveragePool", x, kernel_shape=operator.kernel, strides=operator.stride, pads=_pads(pads))


def _pad(site: LayerNodes, x: str, pads: tuple[tuple[int, int], tuple[int, int]]) -> str:
    (top, bottom), (left, right) = pads
    if not any((top, bottom, left, right)):
        return x
    return site.add("Pad", x, site.constant("pads", [0, 0, top, left, 0, 0, bottom, right]))


def _max_pool(site: LayerNodes, operator: MaxPool) -> str:
    pads = _pads(operator.pads(site.size))
    return site.add("MaxPool", *site.inputs, kernel_shape=operator.kernel, strides=operator.stride, pads=pads)


def _global(op_type: str) -> Callable[[LayerNodes, Any], str]:
    def nodes(site: LayerNodes, operator: GlobalAveragePool | GlobalMaxPool) -> str:
        y = site.add(op_type, *site.inputs)
        return y if operator.keepdims else site.add("Flatten", y)

    return nodes


def _upsample(site: LayerNodes, operator: Upsample) -> str:
    attributes: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor"}
    attributes["coordinate_transformation_mode"] = "asymmetric"
    if operator.mode == "bilinear":
        corners = "align_corners" if operator.align_corners else "half_pixel"
        attributes = {"mode": "linear", "coordinate_transformation_mode": corners}
    sizes = site.constant("sizes", [1, site.channels, *operator.size])
    return site.add("Resize", *site.inputs, "", "", sizes, **attributes)


def _prelu(site: LayerNodes, _: PRelu) -> str:
    """Its two halves and their sum: ONNX Runtime's own PRelu takes twice as long, and nearly three times in int8."""
    below = site.add("Clip", *site.inputs, "", site.number(0))
    scaled = site.add("Mul", below, kernel_name(site.layer.name))
    return site.add("Add", site.add("Relu", *site.inputs), scaled)


def _as(op_type: str, **attributes: Any) -> Callable[[LayerNodes, Any], str]:
    """One node whose attributes are always the same."""
    return lambda site, _: site.add(op_type, *site.inputs, **attributes)


OPERATORS: dict[type[Operator], Callable[[LayerNodes, Any], str]] = {
    Conv: _conv,
    Depthwise: _conv,
    Dense: _dense,
    BatchNorm: _batch_norm,
    PRelu: _prelu,
    Activate: lambda site, _: site.inputs[0],
    Add: _as("Add"),
    Multiply: _multiply,
    Concatenate: _as("Concat", axis=1),
    Slice: _slice,
    ChannelShuffle: _channel_shuffle,
    AveragePool: _average_pool,
    MaxPool: _max_pool,
    GlobalAveragePool: _global("GlobalAveragePool"),
    GlobalMaxPool: _global("GlobalMaxPool"),
    Flatten: _as("Flatten"),
    Unflatten: lambda site, _: _unflatten(site, site.inputs[0]),
    ZeroPad: lambda site, operator: _pad(site, site.inputs[0], operator.padding),
    Upsample: _upsample,
}
"""Writes a layer's nodes without its activation; returns the name of what they compute."""


def _clip(site: LayerNodes, least: float, greatest: float, x: str) -> str:
    return site.add("Clip", x, site.number(least), site.number(greatest))


def _clamp(site: LayerNodes, activation: Clamp, x: str) -> str:
    least, greatest = activation.least, activation.greatest
    if least <= 0 <= greatest:
        return _clip(site, least, greatest, x)
    # In int8 a Clip is left out, since the range of its output says the same: but every range has zero in it.
    return site.add("Min", site.add("Max", x, site.number(least)), site.number(greatest))


def _gelu(site: LayerNodes, x: str) -> str:
    """Write x · Φ(x), where Φ is (1 + erf(x / √2)) / 2, the normal distribution's; nothing else divides."""
    twice = site.add("Add", site.add("Erf", site.add("Div", x, site.number(math.sqrt(2)))), site.number(1))
    return site.add("Mul", x, site.add("Mul", twice, site.number(0.5)))


ACTIVATIONS: dict[str, Callable[[LayerNodes, Any, str], str]] = {
    "none": lambda _, __, x: x,
    "relu": lambda site, _, x: site.add("Relu", x),
    "relu6": lambda site, _, x: _clip(site, 0, 6, x),
    "sigmoid": lambda site, _, x: site.add("Sigmoid", x),
    "tanh": lambda site, _, x: site.add("Tanh", x),
    "silu": lambda site, _, x: site.add("Mul", x, site.add("Sigmoid", x)),
    "gelu": lambda site, _, x: _gelu(site, x),
    "hard_sigmoid": lambda site, _, x: site.add("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hard_swish": lambda site, _, x: site.add("HardSwish", x),
    "leaky_relu": lambda site, activation, x: site.add("LeakyRelu", x, alpha=activation.slope),
    "elu": lambda site, activation, x: site.add("Elu", x, alpha=activation.alpha),
    "clamp": _clamp,
}
"""Writes the nodes of an activation of a named value; returns the name of what they compute."""
