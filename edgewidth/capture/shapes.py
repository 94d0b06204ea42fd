"""ATen operators that only look at a tensor in another way: views and other orders of its axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgewidth.capture.trace import Value
from edgewidth.graph.operators import ChannelShuffle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import fx

    from edgewidth.capture.trace import Trace

SPREAD = "whose pixels lie along one axis"
GROUPED = "whose channels are divided into groups"
SHUFFLED = "whose channels are dealt out of their groups"
CHANNELS_LAST = "whose channels come last"
ORDERS = {("", (0, 2, 3, 1)): CHANNELS_LAST, (CHANNELS_LAST, (0, 3, 1, 2)): "", (GROUPED, (0, 2, 1, 3, 4)): SHUFFLED}
"""What becomes of an order when axes are permuted so."""


def view(trace: Trace, node: fx.Node, x: Value, *_: Any) -> Value:
    """Another shape of the same elements: flattened, as a map of one pixel, or divided into groups of channels."""
    shape = tuple(node.meta["val"].shape)
    images, channels = x.shape[0], sum(map(trace.segments.size, trace.segments.resolve(trace.channels[x.base])))
    size = trace.sizes[x.base] or (1, 1)
    whole = (images, channels, *size)
    if x.order == SHUFFLED and shape == whole:
        return shuffle(trace, node, Value(whole, x.made), x.shape[2])
    if x.order in {CHANNELS_LAST, SHUFFLED}:
        raise trace.unknown(node, f"makes a view of shape {shape} of a tensor {x.order}")
    if shape in {whole, (images, channels * math.prod(size))}:
        return Value(shape, x.made)
    if shape == (images, channels, math.prod(size)):
        return Value(shape, x.made, SPREAD)
    if len(shape) == 5 and shape[1] * shape[2] == channels and shape[3:] == size:
        return Value(shape, x.made, GROUPED)
    raise trace.unknown(node, f"makes a view of shape {shape} of a tensor of shape {x.shape}")


def select(trace: Trace, node: fx.Node, x: Value, axis: int, index: int) -> Value:
    """The one element of an axis, which goes."""
    del index
    if x.shape[axis] != 1:
        raise trace.unknown(node, f"takes one of the {x.shape[axis]} elements along axis {axis}")
    return view(trace, node, x)


def permute(trace: Trace, node: fx.Node, x: Value, axes: Sequence[int]) -> Value:
    """Another order of the axes, as a shuffle of channels has it on the way, or channels that come last and return."""
    wanted = tuple(axis % len(x.shape) for axis in axes)
    if wanted == tuple(range(len(x.shape))):
        return x
    if (x.order, wanted) not in ORDERS:
        raise trace.unknown(node, f"permutes the axes of a tensor of shape {x.shape} to {wanted}")
    return Value(tuple(x.shape[axis] for axis in wanted), x.made, ORDERS[x.order, wanted])


def transpose(trace: Trace, node: fx.Node, x: Value, first: int, second: int) -> Value:
    """Two axes exchanged."""
    axes = list(range(len(x.shape)))
    axes[first], axes[second] = axes[second], axes[first]
    return permute(trace, node, x, axes)


def shuffle(trace: Trace, node: fx.Node, x: Value, groups: int) -> Value:
    """Channels dealt out of equal groups; their number stays as it is."""
    source = trace.as_map(x, node)
    trace.segments.fix(trace.channels[source], f"a shuffle deals it out of {groups} groups")
    return trace.same_channels(node, ChannelShuffle(groups=groups), [source], x.shape, "channel_shuffle")
