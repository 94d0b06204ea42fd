"""What torch computes for each operator: one table, keyed by the operator's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

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
from edgewidth.graph.operators.activation import name_of
from edgewidth.graph.widths import resolve
from edgewidth.training.networks.pooling import average_pool, max_pool

if TYPE_CHECKING:
    from edgewidth.graph.operators.conv import Convolution
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Widths


def compute(layer: Layer, widths: Widths, *tensors: Tensor | None) -> Tensor:
    """What a layer makes of its inputs, without its activation.

    Args:
        layer: The layer.
        widths: The width of every width variable.
        tensors: Its inputs, maps (n, channels, height, width) and vectors (n, channels). If it has weights, then its
            kernel with the axes of ``layer.kernel``, and the bias (channels,), or None if there is none.
    """
    segments = [resolve(segment, widths) for segment in layer.reads[0].channels]
    return OPERATORS[type(layer.operator)](layer.operator, segments, *tensors)


def activate(layer: Layer, x: Tensor) -> Tensor:
    """A layer's activation, in place where that saves memory and nobody else has the tensor."""
    activation = layer.operator.activation
    if type(layer.operator) not in SHARING and activation in IN_PLACE:
        return IN_PLACE[name_of(activation)](x)
    return ACTIVATIONS[name_of(activation)](activation, x)


def layer_dtype(layer: Layer, dtype: torch.dtype) -> torch.dtype:
    """In what one layer computes when its input comes in ``dtype``.

    On CPUs the bfloat16 gradients of a depthwise convolution have a quick path for kernels of up to 3×3 alone, without
    stride and dilation, on maps of 3×3 and more. Any other takes three to fifty times as long as in float32.
    """
    operator = layer.operator
    if isinstance(operator, Depthwise):
        quick = max(operator.kernel) <= 3 and max(*operator.stride, *operator.dilation) == 1
        if not quick or min(layer.reads[0].size) < 3:
            return torch.float32
    return dtype


def _conv(operator: Conv, _: Sequence[int], x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    if operator.taps > 1 or operator.groups > 1 or operator.pads(x.shape[2:]) != ((0, 0), (0, 0)):
        return _convolve(operator, x, kernel, bias, groups=operator.groups)
    # As a product of matrices, which a channels-last image is: on CPUs the gradients of a convolution on maps of a
    # few pixels take up to three times as long.
    along_height, along_width = operator.stride
    pixels = x[..., ::along_height, ::along_width].permute(0, 2, 3, 1)
    return functional.linear(pixels, kernel.flatten(1), bias).permute(0, 3, 1, 2)


def _depthwise(operator: Depthwise, _: Sequence[int], x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    return _convolve(operator, x, kernel, bias, groups=x.shape[1])


def _convolve(operator: Convolution, x: Tensor, kernel: Tensor, bias: Tensor | None, *, groups: int) -> Tensor:
    (top, bottom), (left, right) = operator.pads(x.shape[2:]) if operator.padding == "same" else operator.padding
    if (top, left) == (bottom, right):
        x = x.to(kernel.dtype)
    else:
        x = _Padded.apply(x, (top, bottom), (left, right), kernel.dtype)  # type: ignore[no-untyped-call]
        top = left = 0
    return functional.conv2d(x, kernel, bias, operator.stride, (top, left), operator.dilation, groups)


class _Padded(torch.autograd.Function):
    """Maps with zeros around them, channels-last and in another precision, written once.

    Torch fills all of it with zeros, copies the maps into it, and converts that: a convolution with stride 2 takes up
    to a fifth longer there and back (``scripts/bench/steps.py``).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: tuple[int, int], columns: tuple[int, int], dtype: torch.dtype) -> Tensor:
        (top, bottom), (left, right), (count, channels, height, width) = rows, columns, x.shape
        shape = (count, channels, top + height + bottom, left + width + right)
        y = torch.empty(shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)
        for edge in (y[:, :, :top], y[:, :, top + height :], y[..., :left], y[..., left + width :]):
            edge.zero_()
        ctx.inside, ctx.dtype = (..., slice(top, top + height), slice(left, left + width)), x.dtype
        y[ctx.inside].copy_(x)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        inside = gradients[0][ctx.inside]
        return inside.to(ctx.dtype, memory_format=torch.channels_last), None, None, None


def _dense(_: Dense, __: Sequence[int], x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(x.flatten(1), kernel.flatten(1), bias)


def _scale(_: BatchNorm, __: Sequence[int], x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    along_channels = (-1, *[1] * (x.ndim - 2))
    return x * scale.reshape(along_channels) + shift.reshape(along_channels)


def _multiply(_: Multiply, __: Sequence[int], first: Tensor, second: Tensor) -> Tensor:
    if second.ndim < first.ndim:
        second = second[..., None, None]
    return first * second.to(first.dtype)


def _slice(operator: Slice, segments: Sequence[int], x: Tensor) -> Tensor:
    return x.narrow(1, sum(segments[: operator.start]), sum(segments[operator.start : operator.stop]))


def _zero_pad(operator: ZeroPad, _: Sequence[int], x: Tensor) -> Tensor:
    along_height, along_width = operator.padding
    return functional.pad(x, (*along_width, *along_height))


def _upsample(operator: Upsample, _: Sequence[int], x: Tensor) -> Tensor:
    align_corners = operator.align_corners if operator.mode == "bilinear" else None
    return functional.interpolate(x, operator.size, mode=operator.mode, align_corners=align_corners)


OPERATORS: dict[type[Operator], Callable[..., Tensor]] = {
    Conv: _conv,
    Depthwise: _depthwise,
    Dense: _dense,
    BatchNorm: _scale,
    PRelu: lambda _, __, x, slopes, *___: functional.prelu(x, slopes),
    Activate: lambda _, __, x: x,
    Add: lambda _, __, first, second: first + second,
    Multiply: _multiply,
    Concatenate: lambda _, __, *tensors: torch.cat(tensors, 1),
    Slice: _slice,
    ChannelShuffle: lambda operator, _, x: functional.channel_shuffle(x, operator.groups),
    AveragePool: lambda operator, _, x: average_pool(operator, x),
    MaxPool: lambda operator, _, x: max_pool(operator, x),
    GlobalAveragePool: lambda operator, _, x: x.mean((2, 3), keepdim=operator.keepdims, dtype=torch.float32),
    GlobalMaxPool: lambda operator, _, x: x.amax((2, 3), keepdim=operator.keepdims),
    Flatten: lambda _, __, x: x.flatten(1),
    Unflatten: lambda _, __, x: x[..., None, None],
    ZeroPad: _zero_pad,
    Upsample: _upsample,
}
"""What an operator computes, given how many channels each segment of its first input has, its inputs, its kernel and
its bias, as ``compute`` says."""

SHARING = frozenset({Activate, Slice, Flatten, Unflatten, GlobalMaxPool})
"""What may return its input or a view of it, which others may read too, or needs its output for its gradient."""

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: functional.relu(x, inplace=True),
    "relu6": lambda x: functional.hardtanh(x, 0.0, 6.0, inplace=True),
}
"""Activations that need not keep their input: neither batch normalisation nor a convolution needs its output again."""

ACTIVATIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "none": lambda _, x: x,
    "relu": lambda _, x: functional.relu(x),
    "relu6": lambda _, x: functional.relu6(x),
    "sigmoid": lambda _, x: x.sigmoid(),
    "tanh": lambda _, x: x.tanh(),
    "silu": lambda _, x: functional.silu(x),
    "gelu": lambda _, x: functional.gelu(x),
    "hard_sigmoid": lambda _, x: functional.hardsigmoid(x),
    "hard_swish": lambda _, x: functional.hardswish(x),
    "leaky_relu": lambda activation, x: functional.leaky_relu(x, activation.slope),
    "elu": lambda activation, x: functional.elu(x, activation.alpha),
    "clamp": lambda activation, x: x.clamp(activation.least, activation.greatest),
}
