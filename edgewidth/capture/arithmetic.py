"""ATen operators on single elements: activations, arithmetic with numbers, sums and products of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from edgewidth.capture.elementwise import PARAMETRISED
from edgewidth.capture.trace import Elements, Value
from edgewidth.graph.operators import Add, Multiply

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

    from edgewidth.capture.trace import Trace


def elements_of(trace: Trace, node: fx.Node, x: Value, *arguments: Any, **options: Any) -> Value:
    """A function of the elements of one tensor."""
    compute, known = _computed_by(node), PARAMETRISED.get(str(node.target))
    activation = known(*arguments, **options) if known else None

    def function(y: Tensor) -> Tensor:
        return compute(y, *arguments, **options)

    def alone() -> str:
        """What it is of a layer, where the operators before it make no activation with it."""
        made = trace.composed([Value(x.shape, trace.layer(x, node))], function, str, activation).made
        if isinstance(made, str):
            return made
        if made.activation is None:
            raise trace.unknown(node, f"uses {node.target} in a way that is no activation that edgewidth knows")
        return trace.activated(made.base, made.activation, node)

    return trace.composed([x], function, alone, activation)


def binary(trace: Trace, node: fx.Node, x: Any, y: Any, **options: Any) -> Value:
    """Arithmetic with a number, or the sum or the product of two tensors."""
    x, y = (float(v) if isinstance(v, Tensor) and v.numel() == 1 else v for v in (x, y))
    if isinstance(x, Tensor) or isinstance(y, Tensor):
        raise trace.unknown(node, f"uses {node.target} with a constant or a parameter that has several elements")
    if not isinstance(y, Value):
        return elements_of(trace, node, x, y, **options)
    if not isinstance(x, Value):
        raise trace.unknown(node, f"uses {node.target} of a number and a tensor")
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


def expand(trace: Trace, node: fx.Node, x: Value, size: Any) -> Value:
    """One number for all pixels of a channel, which a product reads without being told so."""
    del size
    if x.shape != _shape(node) and x.shape[2:] != (1, 1):
        raise trace.unknown(node, f"expands a tensor of shape {x.shape} to {_shape(node)}")
    return x


def _of_two(trace: Trace, node: fx.Node, x: Value, y: Value, options: dict[str, Any]) -> str:
    """The layer of a sum or a product; what is multiplied may have one pixel."""
    name = str(node.target)
    if name == "aten.mul.Tensor" and x.shape[2:] == (1, 1):
        x, y = y, x
    small = name == "aten.mul.Tensor" and y.shape[2:] == (1, 1)
    if x.shape[:2] != y.shape[:2] or (x.shape != y.shape and not small):
        raise trace.unknown(node, f"uses {name} of tensors of shapes {x.shape} and {y.shape}")
    if name not in {"aten.add.Tensor", "aten.mul.Tensor"} or options:
        raise trace.unknown(node, f"uses {name} of two tensors")
    is_map = len(x.shape) == 4
    first, second = (trace.as_map(v, node) if is_map else trace.layer(v, node) for v in (x, y))
    if not is_map and trace.sizes[first] != trace.sizes[second]:
        first, second = trace.as_vector(x, node), trace.as_vector(y, node)
    trace.segments.unite(trace.channels[first], trace.channels[second])
    operator = Add() if name == "aten.add.Tensor" else Multiply()
    made = trace.same_channels(node, operator, [first, second], _shape(node)).base
    trace.sizes[made] = trace.sizes[first]
    return made


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)
