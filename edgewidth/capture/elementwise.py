"""Functions of single elements, recognised by their values however they are written.

``x * relu6(x + 3) / 6`` is a hard swish, in whatever order it is computed: composed operators are one function of the
elements of one tensor, and that is compared with the activations that the graph has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from edgewidth.graph.operators.activation import UNBOUNDED, Clamp, Elu, LeakyRelu

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.operators.activation import Activation, Plain

    Function = Callable[[Tensor], Tensor]

KNOWN: dict[Plain, Function] = {
    "none": lambda x: x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_swish": functional.hardswish,
}
_FAR = torch.tensor([-1e5, -1e3, -50, 50, 1e3, 1e5], dtype=torch.float64)
ARGUMENTS = torch.cat([torch.linspace(-12, 12, 481, dtype=torch.float64), _FAR])
"""Where functions are compared. -3, 0, 3 and 6, where known ones turn, are among them."""
TOLERANCE = 1e-6


def activation_of(function: Function) -> Activation | None:
    """The activation without parameters that has the values of a function; None: none has."""
    values = function(ARGUMENTS)
    for name, known in KNOWN.items():
        if torch.allclose(values, known(ARGUMENTS), rtol=TOLERANCE, atol=TOLERANCE):
            return name
    return None


def line_of(function: Function) -> tuple[float, float] | None:
    """The factor and the summand of a function that only scales and shifts; None: it does something else."""
    at_zero, at_one = function(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    line = (at_one - at_zero) * ARGUMENTS + at_zero
    if not torch.allclose(function(ARGUMENTS), line, rtol=TOLERANCE, atol=TOLERANCE):
        return None
    return at_one - at_zero, at_zero


def clamp(least: float | None = None, greatest: float | None = None) -> Activation:
    """A clamp, which may have one bound alone."""
    return Clamp(least=-UNBOUNDED if least is None else least, greatest=UNBOUNDED if greatest is None else greatest)


def elu(alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Activation | None:
    """An ELU; None: a scaled one."""
    return Elu(alpha=alpha) if scale == input_scale == 1 else None


def leaky_relu(slope: float = 0.01) -> Activation:
    """A leaky ReLU."""
    return LeakyRelu(slope=slope)


PARAMETRISED: dict[str, Callable[..., Activation | None]] = {
    "aten.clamp.default": clamp,
    "aten.clamp_min.default": clamp,
    "aten.clamp_max.default": lambda greatest: clamp(None, greatest),
    "aten.hardtanh.default": lambda least=-1.0, greatest=1.0: clamp(least, greatest),
    "aten.elu.default": elu,
    "aten.leaky_relu.default": leaky_relu,
}
"""The activation that an ATen operator is with its arguments, where it has parameters."""
PLAIN = (
    "aten.relu.default",
    "aten.relu6.default",
    "aten.sigmoid.default",
    "aten.tanh.default",
    "aten.silu.default",
    "aten.gelu.default",
    "aten.hardsigmoid.default",
    "aten.hardswish.default",
    "aten.erf.default",
    "aten.neg.default",
    "aten.rsub.Scalar",
)
"""Further operators on one tensor's elements, known by their values or as a part of what is."""
