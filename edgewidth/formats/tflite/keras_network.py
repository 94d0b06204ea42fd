"""The Keras network that the TFLite converter takes. Imports tensorflow: only the conversion process loads this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from edgewidth.formats.folded import resolve
from edgewidth.graph.spec import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.graph.spec import LayerShape, NetworkSpec
    from edgewidth.records.weights import FoldedLayer, FoldedWeights


def keras_network(network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> keras.Model:
    """The network with its weights: images (1, height, width, channels) as ``x / 127.5 - 1`` → logits (1, classes).

    The batch is fixed at one image, as a device runs it; the interpreter can still resize it.
    """
    shape = (network.resolution, network.resolution, network.in_channels)
    values: dict[str, Any] = {INPUT: keras.Input(shape, batch_size=1, name="image")}
    layers: dict[str, Any] = {}
    for layer_shape in network.shapes:
        spec = layer_shape.layer
        inputs = [values[name] for name in spec.inputs]
        layers[spec.name] = _layer(layer_shape, widths)
        value = layers[spec.name](inputs if spec.op == "add" else inputs[0])
        # The weighted layers carry their activation; an addition has none of its own in Keras.
        values[spec.name] = keras.activations.relu6(value) if _is_separate_activation(layer_shape) else value
    model = keras.Model(values[INPUT], values[network.layers[-1].name], name=network.family)
    for name, layer in weights.items():
        layers[name].set_weights([_keras_kernel(layers[name], layer), layer.bias])
    return model


def _layer(shape: LayerShape, widths: Mapping[str, int]) -> Any:
    spec = shape.layer
    activation = "relu6" if spec.activation == "relu6" else None
    common = {"name": spec.name, "activation": activation}
    match spec.op:
        case "conv":
            filters = resolve(shape.out_width, widths)
            return keras.layers.Conv2D(filters, spec.kernel, spec.stride, "same", **common)
        case "depthwise":
            return keras.layers.DepthwiseConv2D(spec.kernel, spec.stride, "same", **common)
        case "dense":
            return keras.layers.Dense(resolve(shape.out_width, widths), **common)
        case "add":
            return keras.layers.Add(name=spec.name)
        case "global_average_pool":
            return keras.layers.GlobalAveragePooling2D(name=spec.name)


def _is_separate_activation(shape: LayerShape) -> bool:
    return shape.layer.activation == "relu6" and shape.layer.op in {"add", "global_average_pool"}


def _keras_kernel(layer: Any, weights: FoldedLayer) -> NDArray[np.float32]:
    kernel = weights.kernel
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernel.transpose(2, 3, 0, 1)  # (channels, 1, h, w) → (h, w, channels, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return kernel.transpose(2, 3, 1, 0)  # (out, in, h, w) → (h, w, in, out)
    return kernel.T  # (out, in) → (in, out)
