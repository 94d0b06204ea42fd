"""Activations in Keras, written so that the TFLite converter knows them again and rounds them well.

In int8 the converter gives a minimum and a maximum the scale of their output, and that scale then to their input too:
whatever else reads that input would be clipped. So they only follow a rectifier, whose output nothing else reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from edgewidth.graph.operators.activation import Clamp, Elu


def _hard_swish(_: Any, x: Any) -> Any:
    return x * keras.ops.relu6(x + 3.0) * (1 / 6)


def _elu(activation: Elu, x: Any) -> Any:
    if activation.alpha == 1:
        return keras.ops.elu(x)
    return activation.alpha * keras.ops.elu(x) + (1 - activation.alpha) * keras.ops.relu(x)


def _clamp(activation: Clamp, x: Any) -> Any:
    least, greatest = activation.least, activation.greatest
    if (least, greatest) == (-1, 1):  # an operator of its own
        return keras.ops.minimum(keras.ops.maximum(x, least), greatest)
    above = keras.ops.relu(x) if least == 0 else keras.ops.relu(x - least) + least
    return keras.ops.minimum(above, greatest)


ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda _, x: x,
    "relu": lambda _, x: keras.ops.relu(x),
    "relu6": lambda _, x: keras.ops.relu6(x),
    "sigmoid": lambda _, x: keras.ops.sigmoid(x),
    "tanh": lambda _, x: keras.ops.tanh(x),
    "silu": lambda _, x: x * keras.ops.sigmoid(x),
    "gelu": lambda _, x: keras.ops.gelu(x, approximate=False),
    "hard_sigmoid": lambda _, x: keras.ops.relu6(x + 3.0) * (1 / 6),
    "hard_swish": _hard_swish,
    "leaky_relu": lambda activation, x: keras.ops.leaky_relu(x, activation.slope),
    "elu": _elu,
    "clamp": _clamp,
}
"""The tensor that an activation, with its parameters, makes of another."""
