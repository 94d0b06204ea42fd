"""ATen operators on single elements: activations, arithmetic with numbers, sums and products of tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgewidth.capture.elementwise import PARAMETRISED
from edgewidth.capture.trace import Elements, Value
from edgewidth.graph.operators import Add, Multiply, Upsample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import fx

    from edgewidth.capture.trace import Trace
    from edgewidth.graph.operators.activation import Activation


def elements_of(trace: Trace, node: fx.Node, x: Value, *arguments: Any, **options: Any) -> Value:
    """A function of the elements of one tensor."""
    compute, known = _computed_by(node), PARAMETRISED.get(str(node.target))
    activation = known(*arguments, **options) if known else None
    return _elements(trace, node, x, lambda y: compute(y, *arguments, **options), activation)


def _elements(
    trace: Trace, node: fx.Node, x: Value, function: Callable[[Tensor], Tensor], activation: Activation | None = None
) -> Value:
    """A function of the elements of one tensor, which of a layer itself is this activation."""

    def refused() -> str:
        raise trace.unknown(node, f"uses {node.target} in a way that is no activation that edgewidth knows")

    def alone() -> str:
        """What it is of a layer, where the operators before it make no activation with it."""
        return trace.layer(trace.composed([Value(x.shape, trace.layer(x, node))], function, refused, activation), node)

    return trace.composed([x], function, alone, activation)


def binary(trace: Trace, node: fx.Node, x: Any, y: Any, **options: Any) -> Value:
    """Arithmetic with a number, or with one for each channel, or the sum or the product of two tensors."""
    if not isinstance(x, Value) or not isinstance(y, Value):
        return _with_constant(trace, node, x, y, options)
    composed = any(isinstance(value.made, Elements) for value in (x, y))
    if composed and x.base == y.base and x.shape == y.shape and x.order == y.order:
        compute = _computed_by(node)
        return trace.composed(
            [x, y], lambda a, b: compute(a, b, **options), lambda: _of_two(trace, node, x, y, options)
        )
    return Value(_shape(node), _of_two(trace, node, x, y, options))


def _computed_by(node: fx.Node) -> Callable[..., Tensor]:
    """The operator as a function of tensors."""
    assert callable(node.target)  # noqa: S101  for the type checker: it is a name only in nodes that call no function
    return node.target


def _with_constant(trace: Trace, node: fx.Node, x: Any, y: Any, options: dict[str, Any]) -> Value:
    """A tensor with a constant on either side of the operator; it may be an array, if its channels differ alone."""
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    constant, compute = torch.as_tensor(other, dtype=torch.float64), _computed_by(node)

    def function(z: Tensor, numbers: Tensor) -> Tensor:
        return compute(z, numbers, **options) if value is x else compute(numbers, z, **options)

    if constant.numel() == 1:
        return _elements(trace, node, value, lambda z: function(z, constant.reshape(())))
    of_channels, pixels = _of_channels(constant, value.shape), math.prod(trace.sizes[value.base])
    if of_channels is None or pixels != math.prod(value.shape[2:]):
        shapes = f"a tensor of shape {value.shape} and a constant of shape {tuple(constant.shape)}"
        raise trace.unknown(node, f"uses {node.target} of {shapes}, which is not one number for each channel")
    shift = function(torch.zeros_like(of_channels), of_channels)
    scale = function(torch.ones_like(of_channels), of_channels) - shift
    if not (scale.isfinite().all() and shift.isfinite().all()):
        raise trace.unknown(node, f"uses {node.target} with a tensor to divide by")
    return Value(value.shape, trace.scaled(value, scale, shift, node))


def _of_channels(constant: Tensor, shape: Sequence[int]) -> Tensor | None:
    """The number that a constant has for each channel of a tensor of this shape; None: it differs along other axes."""
    try:
        along_channels = constant.expand(shape).movedim(1, 0).flatten(1)
    except RuntimeError:  # it has other axes, or longer ones
        return None
    first = along_channels[:, :1]
    return first.flatten() if (along_channels == first).all() else None


def expand(trace: Trace, node: fx.Node, x: Value, size: Any) -> Value:
    """One number for all pixels of a channel, which a product reads without being told so, and others as a map."""
    del size
    shape = _shape(node)
    if x.shape == shape:
        return x
    if x.shape[2:] != (1, 1) or x.shape[:2] != shape[:2]:
        raise trace.unknown(node, f"expands a tensor of shape {x.shape} to {shape}")
    if all(str(reader.target) == "aten.mul.Tensor" for reader in node.users):
        return x
    return trace.same_channels(node, Upsample(size=shape[2:], mode="nearest"), [trace.as_map(x, node)], shape)


def _of_two(trace: Trace, node: fx.Node, x: Value, y: Value, options: dict[str, Any]) -> str:
    """The layer of a sum or a product; what is multiplied may have one pixel."""
    name = str(node.target)
    if name == "aten.mul.Tensor" and x.shape[2:] == (1, 1):
        x, y = y, x
    small = name == "aten.mul.Tensor" and y.shape[2:] == (1, 1)
    if x.shape[:2] != y.shape[:2] or (x.shape != y.shape and not small):
        raise trace.unknown(node, f"uses {name} of tensors of shapes {x.shape} and {y.shape}")
    if name not in {"aten.add.Tensor", "aten.sub.Tensor", "aten.mul.Tensor"} or options.keys() - {"alpha"}:
        raise trace.unknown(node, f"uses {name} of two tensors")
    times = options.get("alpha", 1) * (-1 if name == "aten.sub.Tensor" else 1)
    if times != 1:
        y = Value(y.shape, trace.scaled(y, times, 0, node))
    is_map = len(x.shape) == 4
    first, second = (trace.as_map(v, node) if is_map else trace.layer(v, node) for v in (x, y))
    if not is_map and trace.sizes[first] != trace.sizes[second]:
        first, second = trace.as_vector(x, node), trace.as_vector(y, node)
    trace.segments.unite(trace.channels[first], trace.channels[second])
    operator = Multiply() if name == "aten.mul.Tensor" else Add()
    made = trace.same_channels(node, operator, [first, second], _shape(node)).base
    trace.sizes[made] = trace.sizes[first]
    return made


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)
