"""The Keras network that the TFLite converter takes. Imports tensorflow: only the conversion process loads this."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import total

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Activation, Operator
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.records.weights import FoldedWeights


def keras_network(network: NetworkSpec, widths: Widths, weights: FoldedWeights) -> keras.Model:
    """The network with its weights: images (1, height, width, channels) as ``x / 127.5 - 1`` → logits (1, classes).

    The batch is fixed at one image, as a device runs it; the interpreter can still resize it.
    """
    values: dict[str, Any] = {
        INPUT: keras.Input((*network.input.size, total(network.input.channels, widths)), batch_size=1, name="image")
    }
    for layer in network.layers:
        entry, activation = OPERATORS[type(layer.operator)], ACTIVATIONS[layer.operator.activation]
        made = entry.make(layer.operator, layer.name, total(layer.output.channels, widths))
        inputs = [values[name] for name in layer.inputs]
        source = inputs if len(inputs) > 1 else inputs[0]
        if layer.kernel:
            made.activation = activation  # inside, so that the tensor in the file is called as the layer is
            values[layer.name] = made(source)
            kernel, bias = weights[layer.name]
            made.set_weights([kernel.transpose(entry.kernel_order), bias])
        else:
            values[layer.name] = activation(made(source))
    return keras.Model(values[INPUT], values[network.layers[-1].name], name=network.family)


class KerasOperator(NamedTuple):
    """What Keras makes of an operator."""

    make: Callable[..., Any]
    """The Keras layer, given the operator, the layer's name and how many channels it gives."""
    kernel_order: tuple[int, ...] = ()
    """Keras' axes of the kernel, as places in ``Layer.kernel``."""


def _conv(operator: Conv, name: str, channels: int) -> Any:
    return keras.layers.Conv2D(channels, operator.kernel, operator.stride, "same", name=name)


def _depthwise(operator: Depthwise, name: str, _: int) -> Any:
    return keras.layers.DepthwiseConv2D(operator.kernel, operator.stride, "same", name=name)


OPERATORS: dict[type[Operator], KerasOperator] = {
    Conv: KerasOperator(_conv, (2, 3, 1, 0)),
    Depthwise: KerasOperator(_depthwise, (2, 3, 0, 1)),
    Dense: KerasOperator(lambda _, name, channels: keras.layers.Dense(channels, name=name), (1, 0)),
    Add: KerasOperator(lambda _, name, __: keras.layers.Add(name=name)),
    Concatenate: KerasOperator(lambda _, name, __: keras.layers.Concatenate(name=name)),
    GlobalAveragePool: KerasOperator(lambda _, name, __: keras.layers.GlobalAveragePooling2D(name=name)),
}

ACTIVATIONS: dict[Activation, Callable[[Any], Any]] = {
    "none": keras.activations.linear,
    "relu6": keras.activations.relu6,
}
