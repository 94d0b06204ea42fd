"""What torch computes for each operator: one table, keyed by the operator's class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool

if TYPE_CHECKING:
    from edgewidth.graph.operators.conv import Convolution
    from edgewidth.graph.operators.operator import Activation, Operator
    from edgewidth.graph.spec import Layer


def compute(layer: Layer, *tensors: Tensor) -> Tensor:
    """What a layer makes of its inputs, without its activation.

    Args:
        layer: The layer.
        tensors: Its inputs, maps (n, channels, height, width) and vectors (n, channels). If it has weights, then its
            kernel with the axes of ``layer.kernel``, and the bias (channels,) if there is one.
    """
    return OPERATORS[type(layer.operator)](layer.operator, *tensors)


def activate(x: Tensor, activation: Activation) -> Tensor:
    """An activation, in place: neither batch normalisation nor a convolution needs its output again."""
    return ACTIVATIONS[activation](x)


def layer_dtype(layer: Layer, dtype: torch.dtype) -> torch.dtype:
    """In what one layer computes when its input comes in ``dtype``.

    On CPUs the bfloat16 gradients of a strided depthwise convolution, and of one on maps below 3×3, take a
    path that is twenty to a hundred times slower than float32's.
    """
    operator = layer.operator
    if isinstance(operator, Depthwise) and (max(operator.stride) > 1 or min(layer.reads[0].size) < 3):
        return torch.float32
    return dtype


def _conv(operator: Conv, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    if operator.kernel != (1, 1):
        return _convolve(operator, x, kernel, bias, groups=1)
    # As a product of matrices, which a channels-last image is: on CPUs the gradients of a convolution on maps of a
    # few pixels take up to three times as long.
    along_height, along_width = operator.stride
    pixels = x[..., ::along_height, ::along_width].permute(0, 2, 3, 1)
    return functional.linear(pixels, kernel.flatten(1), bias).permute(0, 3, 1, 2)


def _depthwise(operator: Depthwise, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    return _convolve(operator, x, kernel, bias, groups=x.shape[1])


def _convolve(operator: Convolution, x: Tensor, kernel: Tensor, bias: Tensor | None, *, groups: int) -> Tensor:
    (top, bottom), (left, right) = operator.padding(x.shape[2:])
    if (top, left) != (bottom, right):
        x = functional.pad(x, (left, right, top, bottom))
        top = left = 0
    return functional.conv2d(x, kernel, bias, stride=operator.stride, padding=(top, left), groups=groups)


OPERATORS: dict[type[Operator], Callable[..., Tensor]] = {
    Conv: _conv,
    Depthwise: _depthwise,
    Dense: lambda _, x, kernel, bias: functional.linear(x, kernel, bias),
    Add: lambda _, first, second: first + second,
    Concatenate: lambda _, *tensors: torch.cat(tensors, 1),
    GlobalAveragePool: lambda _, x: x.mean((2, 3), dtype=torch.float32),
}
"""What an operator computes of its inputs, its kernel and its bias, as ``compute`` says."""

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu6": lambda x: functional.hardtanh(x, 0.0, 6.0, inplace=True),
}
