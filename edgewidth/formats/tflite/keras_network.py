"""The Keras network that the TFLite converter takes. Imports tensorflow: only the conversion process loads this."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from edgewidth.formats.tflite.keras_activations import ACTIVATIONS
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
from edgewidth.graph.operators.activation import is_never_negative, name_of
from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import resolve, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.operators.window import Window
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.records.weights import FoldedLayer, FoldedWeights


class Site(NamedTuple):
    """A layer where it is built."""

    layer: Layer
    widths: Widths
    inputs: list[Any]
    """Keras' tensors."""
    weights: FoldedLayer | None
    never_negative: bool
    """Whether its first input holds nothing below zero."""
    shifted: bool
    """Whether its first input is a sum with a bias, which nothing was done to since."""

    @property
    def channels(self) -> int:
        """How many channels it gives."""
        return total(self.layer.output.channels, self.widths)

    @property
    def kernel(self) -> NDArray[np.float32]:
        """Its kernel, with the axes of ``Layer.kernel``."""
        assert self.weights is not None  # noqa: S101 - only layers that have a kernel ask; for the type checker
        return self.weights.kernel

    def activated(self, x: Any) -> Any:
        """Its activation of a tensor."""
        activation = self.layer.operator.activation
        return ACTIVATIONS[name_of(activation)](activation, x)

    def weighted(self, make: Callable[..., Any], x: Any, kernel: NDArray[np.float32], *arguments: Any) -> Any:
        """A Keras layer with this kernel and the layer's bias.

        The activation is inside, so that the tensor in the file is called as the layer is.
        """
        assert self.weights is not None  # noqa: S101 - as above
        made = make(*arguments, activation=self.activated, name=self.layer.name)
        y = made(x)
        made.set_weights([kernel, self.weights.bias])
        return y


def keras_network(network: NetworkSpec, widths: Widths, weights: FoldedWeights) -> keras.Model:
    """The network with its weights: images (1, height, width, channels) as ``x / 127.5 - 1`` → logits (1, classes).

    The batch is fixed at one image, as a device runs it; the interpreter can still resize it.
    """
    values: dict[str, Any] = {
        INPUT: keras.Input((*network.input.size, total(network.input.channels, widths)), batch_size=1, name="image")
    }
    positive = {layer.name for layer in network.layers if is_never_negative(layer.operator.activation)}
    shifted: set[str] = set()
    for layer in network.layers:
        if layer.operator.activation == "none" and (layer.operator.biased or _passes_shift(layer, shifted)):
            shifted.add(layer.name)
        inputs, first = [values[name] for name in layer.inputs], layer.inputs[0]
        site = Site(layer, widths, inputs, weights.get(layer.name), first in positive, first in shifted)
        y = OPERATORS[type(layer.operator)](layer.operator, site)
        values[layer.name] = y if layer.kernel and not isinstance(layer.operator, PRelu) else site.activated(y)
    return keras.Model(values[INPUT], values[network.layers[-1].name], name=network.family)


def _passes_shift(layer: Layer, shifted: Collection[str]) -> bool:
    return isinstance(layer.operator, (Flatten, Unflatten)) and layer.inputs[0] in shifted


def _padded(operator: Window, site: Site) -> tuple[Any, str]:
    """The input of a layer with the padding that Keras itself cannot give, and what Keras shall still give."""
    (x,), size = site.inputs, site.layer.reads[0].size
    if operator.is_same(size):
        return x, "same"
    pads = operator.pads(size)
    return (keras.layers.ZeroPadding2D(pads)(x) if np.any(pads) else x), "valid"


def _conv(operator: Conv, site: Site) -> Any:
    x, padding = _padded(operator, site)
    kernel = site.kernel.transpose(2, 3, 1, 0)
    arguments = (operator.kernel, operator.stride, padding, None, operator.dilation, operator.groups)
    return site.weighted(keras.layers.Conv2D, x, kernel, site.channels, *arguments)


def _depthwise(operator: Depthwise, site: Site) -> Any:
    x, padding = _padded(operator, site)
    by_input = site.kernel.reshape(-1, operator.multiplier, *operator.kernel)
    arguments = (operator.kernel, operator.stride, padding, operator.multiplier, None, operator.dilation)
    return site.weighted(keras.layers.DepthwiseConv2D, x, by_input.transpose(2, 3, 0, 1), *arguments)


def _dense(_: Dense, site: Site) -> Any:
    (x,), kernel, size = site.inputs, site.kernel, site.layer.reads[0].size
    if not size and not site.shifted:
        return site.weighted(keras.layers.Dense, x, kernel.transpose(1, 0), site.channels)
    # Of a map, a convolution with a kernel as large: the order of its elements is then nobody's business. Also of what
    # has a bias, which the converter would else take into this layer's own, where it cannot be cut with its channel.
    if not size:
        size, kernel = (1, 1), kernel[..., None, None]
        x = keras.layers.Reshape((1, 1, kernel.shape[1]))(x)
    y = site.weighted(keras.layers.Conv2D, x, kernel.transpose(2, 3, 1, 0), site.channels, size)
    return keras.layers.Reshape((site.channels,))(y)


def _batch_norm(_: BatchNorm, site: Site) -> Any:
    # A depthwise convolution of one pixel: in int8 it has a scale for each channel, and rounds once.
    (x,), vector = site.inputs, not site.layer.reads[0].size
    x = keras.layers.Reshape((1, 1, site.channels))(x) if vector else x
    y = site.weighted(keras.layers.DepthwiseConv2D, x, site.kernel[None, None, :, None], 1)
    return keras.layers.Reshape((site.channels,))(y) if vector else y


def _prelu(_: PRelu, site: Site) -> Any:
    pixels = [axis + 1 for axis in range(len(site.layer.output.size))]
    made = keras.layers.PReLU(shared_axes=pixels or None, name=site.layer.name)
    y = made(site.inputs[0])
    made.set_weights([site.kernel.reshape([1] * len(pixels) + [-1])])
    return y


def _multiply(_: Multiply, site: Site) -> Any:
    first, second = site.inputs
    if len(second.shape) < len(first.shape):
        second = keras.layers.Reshape((1, 1, site.channels))(second)
    return keras.layers.Multiply(name=site.layer.name)([first, second])


def _slice(operator: Slice, site: Site) -> Any:
    (x,), channels = site.inputs, site.layer.reads[0].channels
    before = sum(resolve(segment, site.widths) for segment in channels[: operator.start])
    return keras.ops.slice(x, [0] * (len(x.shape) - 1) + [before], [*x.shape[:-1], site.channels])


def _channel_shuffle(operator: ChannelShuffle, site: Site) -> Any:
    (x,), groups = site.inputs, operator.groups
    pixels = site.layer.output.pixels
    dealt = keras.layers.Permute((1, 3, 2))(keras.layers.Reshape((pixels, groups, site.channels // groups))(x))
    return keras.layers.Reshape((*site.layer.output.size, site.channels))(dealt)


def _average_pool(operator: AveragePool, site: Site) -> Any:
    (x,), size = site.inputs, site.layer.reads[0].size
    counts = operator.counts(size)
    on_the_map = AveragePool(kernel=operator.kernel, stride=operator.stride, padding="same")
    if operator.is_same(size) and np.array_equal(counts, on_the_map.counts(size)):
        return keras.layers.AveragePooling2D(operator.kernel, operator.stride, "same")(x)
    pads = operator.pads(size)
    x = keras.layers.ZeroPadding2D(pads)(x) if np.any(pads) else x
    y = keras.layers.AveragePooling2D(operator.kernel, operator.stride)(x)
    correction = (operator.taps / counts)[None, :, :, None].astype(np.float32)
    return y if np.all(correction == 1) else keras.ops.multiply(y, correction)


def _max_pool(operator: MaxPool, site: Site) -> Any:
    (x,), size = site.inputs, site.layer.reads[0].size
    padding = "same" if operator.is_same(size) else "valid"
    if padding == "valid":
        x = _continued(x, operator.pads(size), never_negative=site.never_negative)
    return keras.layers.MaxPooling2D(operator.kernel, operator.stride, padding)(x)


def _continued(x: Any, pads: tuple[tuple[int, int], tuple[int, int]], *, never_negative: bool) -> Any:
    """A map continued by pixels that change no maximum of a window: zeros where nothing is less, else its edges."""
    if never_negative:
        return keras.layers.ZeroPadding2D(pads)(x) if np.any(pads) else x
    for step in range(np.max(pads)):
        now = (np.asarray(pads) > step).astype(int).tolist()
        x = keras.ops.pad(x, [[0, 0], *now, [0, 0]], "symmetric")  # by one pixel, which is the edge itself
    return x


def _upsample(operator: Upsample, site: Site) -> Any:
    def resize(x: Any) -> Any:
        if operator.mode == "nearest":
            return tf.raw_ops.ResizeNearestNeighbor(images=x, size=operator.size)
        return tf.raw_ops.ResizeBilinear(
            images=x,
            size=operator.size,
            align_corners=operator.align_corners,
            half_pixel_centers=not operator.align_corners,
        )

    shape = (1, *operator.size, site.channels)
    return keras.layers.Lambda(resize, output_shape=shape[1:], name=site.layer.name)(site.inputs[0])


OPERATORS: dict[type[Operator], Callable[[Any, Site], Any]] = {
    Conv: _conv,
    Depthwise: _depthwise,
    Dense: _dense,
    BatchNorm: _batch_norm,
    PRelu: _prelu,
    Activate: lambda _, site: site.inputs[0],
    Add: lambda _, site: keras.layers.Add(name=site.layer.name)(site.inputs),
    Multiply: _multiply,
    Concatenate: lambda _, site: keras.layers.Concatenate(name=site.layer.name)(site.inputs),
    Slice: _slice,
    ChannelShuffle: _channel_shuffle,
    AveragePool: _average_pool,
    MaxPool: _max_pool,
    GlobalAveragePool: lambda operator, site: keras.layers.GlobalAveragePooling2D(keepdims=operator.keepdims)(
        site.inputs[0]
    ),
    GlobalMaxPool: lambda operator, site: keras.layers.GlobalMaxPooling2D(keepdims=operator.keepdims)(site.inputs[0]),
    Flatten: lambda _, site: keras.layers.Reshape((site.channels,))(site.inputs[0]),
    Unflatten: lambda _, site: keras.layers.Reshape((1, 1, site.channels))(site.inputs[0]),
    ZeroPad: lambda operator, site: keras.layers.ZeroPadding2D(operator.padding)(site.inputs[0]),
    Upsample: _upsample,
}
"""Keras' tensor of what an operator computes; a layer with a kernel, but for PRelu, has its activation inside."""
