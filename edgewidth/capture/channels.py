"""ATen operators that join channels or choose among them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from edgewidth.capture.trace import Draft, Value
from edgewidth.graph.operators import Concatenate, MaxPool, Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx

    from edgewidth.capture.trace import Trace


def cat(trace: Trace, node: fx.Node, values: Sequence[Any], axis: int = 0) -> Value:
    """Tensors joined along their channels; flattened maps are joined as maps."""
    shape = tuple(node.meta["val"].shape)
    if axis % len(shape) != 1 or not all(isinstance(value, Value) for value in values):
        raise trace.unknown(node, "joins tensors along another axis than their channels, or with a constant")
    if len(values) == 1:
        return values[0] if isinstance(values[0], Value) else cat(trace, node, values, axis)
    flat = len(shape) == 2 and any(trace.sizes[value.base] in {(), (1, 1)} for value in values)
    made = [trace.as_vector(v, node) if flat else trace.layer(v, node) for v in values]
    if not flat:
        made = [trace.as_map(v, node) for v in values] if len(shape) == 4 else made
    channels = tuple(name for source in made for name in trace.channels[source])
    joined = trace.emit(Draft(node.name, Concatenate(), tuple(made), node), channels, shape)
    trace.sizes[joined.base] = trace.sizes[made[0]]
    return joined


def split(trace: Trace, node: fx.Node, x: Value, sizes: int | Sequence[int], axis: int = 0) -> tuple[Value, ...]:
    """Channels divided into parts of these sizes, the last one of what is left."""
    if axis % len(x.shape) != 1:
        raise trace.unknown(node, "splits a tensor along another axis than its channels")
    total = x.shape[1]
    each = [sizes] * -(-total // sizes) if isinstance(sizes, int) else sizes
    borders = [min(sum(each[:count]), total) for count in range(len(each) + 1)]
    return tuple(_between(trace, node, x, start, stop) for start, stop in pairwise(borders))


def narrow(
    trace: Trace,
    node: fx.Node,
    x: Value,
    axis: int = 0,
    start: int | None = None,
    stop: int | None = None,
    step: int = 1,
) -> Value:
    """A slice of the channels; along height and width some pixels at equal distances, as pooling over one pixel has."""
    length, axis = x.shape[axis], axis % len(x.shape)
    first, last, _ = slice(start, stop).indices(length)
    if step == 1 and (first, last) == (0, length):
        return x
    if axis in {2, 3} and (first, last) == (0, length):
        made = MaxPool(stride=(step, 1) if axis == 2 else (1, step))
        return trace.same_channels(node, made, [trace.as_map(x, node)], tuple(node.meta["val"].shape))
    if axis != 1 or step != 1:
        raise trace.unknown(node, f"takes a part of a tensor of shape {x.shape} along axis {axis} in steps of {step}")
    return _between(trace, node, x, first, last)


def _between(trace: Trace, node: fx.Node, x: Value, start: int, stop: int) -> Value:
    if start >= stop:
        raise trace.unknown(node, f"takes no channels of a tensor of shape {x.shape}")
    source = trace.layer(x, node)
    shape = (x.shape[0], stop - start, *x.shape[2:])
    if len(x.shape) == 2:
        source = trace.as_vector(x, node)
    channels = trace.segments.between(trace.channels[source], start, stop)
    # Which segments these are is known when all are: others may still be divided.
    draft = Draft(f"{node.name}_{start}", Slice(start=0, stop=1), (source,), node, cut=(start, stop))
    return trace.emit(draft, channels, shape)
