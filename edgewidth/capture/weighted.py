"""ATen operators with weights: convolutions, linear layers, batch normalisation, PReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from edgewidth.capture.trace import Draft, Value
from edgewidth.graph.operators import BatchNorm, Conv, Dense, Depthwise, PRelu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, fx

    from edgewidth.capture.trace import Trace
    from edgewidth.capture.widths import Names
    from edgewidth.graph.operators.operator import Operator


def conv2d(
    trace: Trace,
    node: fx.Node,
    x: Value,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Value:
    """A convolution, in as many groups as it has."""
    sides = [(pixels, pixels) for pixels in _pair(padding)]
    return _convolution(trace, node, x, kernel, bias, stride, sides, dilation, groups)


def conv2d_padded(
    trace: Trace,
    node: fx.Node,
    x: Value,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: str = "valid",
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Value:
    """A convolution whose padding is ``valid``, which is none, or ``same``, which torch has at a stride of 1."""
    reach = [(taps - 1) * apart for taps, apart in zip(kernel.shape[2:], _pair(dilation), strict=True)]
    sides = [(pixels // 2, pixels - pixels // 2) if padding == "same" else (0, 0) for pixels in reach]
    return _convolution(trace, node, x, kernel, bias, stride, sides, dilation, groups)


def linear(trace: Trace, node: fx.Node, x: Value, kernel: Tensor, bias: Tensor | None = None) -> Value:
    """A fully connected layer, of a vector or of all elements of a map."""
    if len(x.shape) != 2:
        raise trace.unknown(node, f"applies a linear layer to a tensor of shape {x.shape}")
    source = trace.layer(x, node)
    size = trace.sizes[source]
    if size == (1, 1):
        source, size = trace.as_vector(x, node), ()
    width = trace.segments.new(len(kernel))
    tensors = {"kernel": kernel.reshape(len(kernel), -1, *size) if size else kernel, "shift": bias}
    made = Dense(width=width, affine="none" if bias is None else "bias")
    return _weighted(trace, node, made, source, tensors, (width,))


def batch_norm(
    trace: Trace,
    node: fx.Node,
    x: Value,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    epsilon: float,
) -> tuple[Value]:
    """Batch normalisation in inference, as a layer of its own until it is joined to the one before it."""
    del momentum
    source = trace.layer(x, node)
    if len(x.shape) == 2 and trace.sizes[source]:
        source = trace.as_vector(x, node)
    tensors = {
        "scale": torch.ones_like(mean) if gamma is None else gamma,
        "shift": torch.zeros_like(mean) if beta is None else beta,
        "mean": mean,
        "variance": variance,
    }
    return (_weighted(trace, node, BatchNorm(epsilon=epsilon), source, tensors, trace.channels[source]),)


def prelu(trace: Trace, node: fx.Node, x: Value, slopes: Tensor) -> Value:
    """A rectifier with trained slopes; where all channels share one, each gets it."""
    source = trace.layer(x, node)
    channels = sum(map(trace.segments.size, trace.segments.resolve(trace.channels[source])))
    if slopes.numel() not in {1, channels}:
        raise trace.unknown(node, f"has {slopes.numel()} slopes for a flattened map of {channels} channels")
    tensors = {"kernel": slopes.expand(channels).contiguous()}
    made = _weighted(trace, node, PRelu(), source, tensors, trace.channels[source])
    trace.sizes[made.base] = trace.sizes[source]  # a flattened map is a map
    return made


def zero_channels(trace: Trace, node: fx.Node, x: Value, before: int, after: int) -> Value:
    """Channels of zeros before and after those of a map: a convolution of one pixel, so that all may vary."""
    kernel = torch.nn.functional.pad(torch.eye(x.shape[1]), (0, 0, before, after))
    return conv2d(trace, node, x, kernel[..., None, None])


def _convolution(
    trace: Trace,
    node: fx.Node,
    x: Value,
    kernel: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    sides: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    source = trace.as_map(x, node)
    window: dict[str, Any] = {
        "kernel": tuple(kernel.shape[2:]),
        "stride": _pair(stride),
        "padding": tuple(sides),
        "dilation": _pair(dilation),
        "affine": "none" if bias is None else "bias",
    }
    name, (_, ins, *_), outs = trace.called(node), x.shape, len(kernel)
    tensors = {"kernel": kernel, "shift": bias}
    if groups == ins == outs:
        return _weighted(trace, node, Depthwise(**window), source, tensors, trace.channels[source])
    if groups > 1:
        trace.segments.fix(trace.channels[source], f"{name} reads it in {groups} groups")
    if groups == ins > 1:
        times = outs // ins
        channels = tuple(trace.segments.new(trace.segments.size(c) * times) for c in trace.channels[source])
        trace.segments.fix(channels, f"{name} makes {times} channels of every one that it reads")
        return _weighted(trace, node, Depthwise(multiplier=times, **window), source, tensors, channels)
    width = trace.segments.new(outs)
    if groups > 1:
        trace.segments.fix((width,), f"{name} makes it in {groups} groups")
    return _weighted(trace, node, Conv(width=width, groups=groups, **window), source, tensors, (width,))


def _weighted(
    trace: Trace, node: fx.Node, made: Operator, source: str, tensors: Mapping[str, Tensor | None], channels: Names
) -> Value:
    """A layer that is called by its module."""
    held = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    draft = Draft(trace.called(node), made, (source,), node, held)
    found = node.meta["val"]
    shape = found.shape if not isinstance(found, (tuple, list)) else found[0].shape
    return trace.emit(draft, channels, tuple(shape))


def _pair(value: Sequence[int]) -> tuple[int, int]:
    """Along height and width; torch lets one number stand for both."""
    return (value[0], value[-1])
