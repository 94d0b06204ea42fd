"""Activations in Keras, written so that the TFLite converter knows them again and rounds them well.

In int8 the converter gives a minimum and a maximum the scale of their output, and that scale then to their input too:
whatever else reads that input would be clipped. So they only follow a rectifier, whose output nothing else reads, or
have a bound that is far away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from edgewidth.graph.operators.activation import UNBOUNDED

if TYPE_CHECKING:
    from edgewidth.graph.operators.activation import Clamp, Elu


def _hard_swish(_: Any, x: Any) -> Any:
    return x * keras.ops.relu6(x + 3.0) * (1 / 6)


def _elu(activation: Elu, x: Any) -> Any:
    if activation.alpha == 1:
        return keras.ops.elu(x)
    return activation.alpha * keras.ops.elu(x) + (1 - activation.alpha) * keras.ops.relu(x)


_FAR = 16.0
"""Bounds further from zero are there for what never comes: with the output's scale nothing is clipped that others read,
and nothing may be added to them, since what they are added to would be rounded off."""


def _clamp(activation: Clamp, x: Any) -> Any:
    least, greatest = activation.least, activation.greatest
    if (least, greatest) == (-1, 1):  # an operator of its own
        return keras.ops.minimum(keras.ops.maximum(x, least), greatest)
    if least < -_FAR:
        below = (
            greatest - keras.ops.relu(greatest - x) if greatest <= _FAR else _bounded(keras.ops.minimum, x, greatest)
        )
        return _bounded(keras.ops.maximum, below, least)
    above = keras.ops.relu(x) if least == 0 else keras.ops.relu(x - least) + least
    # Also without a bound: the converter would take ``least`` into the layer that follows, which could not be cut then.
    return keras.ops.minimum(above, greatest)


def _bounded(by: Callable[[Any, float], Any], x: Any, bound: float) -> Any:
    """A minimum or a maximum, where there is a bound."""
    return x if abs(bound) >= UNBOUNDED else by(x, bound)


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
