"""Functions of single elements that an operator's result goes through.

One without parameters is its name, such as ``"relu6"``; one with parameters is a record that has its name in
``function``. Tables of frameworks are keyed by ``name_of``. PReLU has weights, and is an operator.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgewidth.documents import Record

Plain = Literal["none", "relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "hard_sigmoid", "hard_swish"]
"""``hard_sigmoid`` is relu6(x + 3) / 6, ``hard_swish`` x times that, ``silu`` x · sigmoid(x), and ``gelu`` x · Φ(x),
where Φ is the distribution function of the normal distribution."""


class _Parametrised(Record):
    function: str

    @model_serializer(mode="wrap")
    def _keep_function(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = dump(self)
        return {"function": self.function} | fields  # also where defaults are left out


class LeakyRelu(_Parametrised):
    """x where it is positive, and ``slope`` times x elsewhere."""

    function: Literal["leaky_relu"] = "leaky_relu"
    slope: float = Field(0.01, ge=0)


class Elu(_Parametrised):
    """x where it is positive, and ``alpha`` · (exp(x) - 1) elsewhere."""

    function: Literal["elu"] = "elu"
    alpha: float = Field(1.0, gt=0)


UNBOUNDED = (2 - 2**-23) * 2.0**127
"""The greatest float32: what is clamped by it, or below by its negative, has no bound there."""


class Clamp(_Parametrised):
    """x, but at least ``least`` and at most ``greatest``, one of which may be ``UNBOUNDED``."""

    function: Literal["clamp"] = "clamp"
    least: float
    greatest: float

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not -math.inf < self.least < self.greatest < math.inf:
            raise ValueError(f"clamp needs a range, not {self.least:g} to {self.greatest:g}")
        return self


Activation = Plain | Annotated[LeakyRelu | Elu | Clamp, Field(discriminator="function")]

ACTIVATIONS = frozenset(get_args(Plain)) | frozenset({"leaky_relu", "elu", "clamp"})
"""The names that every table has an entry for."""


TELLS_APART: dict[str, tuple[float, float]] = {
    "gelu": (-3.1, math.inf),
    "hard_sigmoid": (-3, 3),
    "hard_swish": (-3, math.inf),
    "sigmoid": (-7, 7),
    "silu": (-7, math.inf),
    "tanh": (-3.5, 3.5),
}
"""Between which arguments an activation gives what it does not give outside, to a quarter of the 256th part of its
sigmoid or Φ, where tanh(x) is 2 · sigmoid(2x) - 1: int8 need not tell other arguments apart. The others do everywhere,
or are a part of the layer before."""


def name_of(activation: Activation) -> str:
    """The name of an activation without its parameters."""
    return activation if isinstance(activation, str) else activation.function


def is_never_negative(activation: Activation) -> bool:
    """Whether everything that leaves an activation is zero or more."""
    if isinstance(activation, Clamp):
        return activation.least >= 0
    return activation in {"relu", "relu6", "sigmoid", "hard_sigmoid"}
