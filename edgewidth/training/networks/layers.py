"""The layers of a network in torch, driven by its description.

Whatever runs a network (slimmable, plain, with batch normalisation folded away) walks the same graph with
``run_graph`` and computes each layer with the functions here.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.graph.spec import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.spec import LayerShape, NetworkSpec

NORM_EPSILON = 1e-3
"""Added to the variance in batch normalisation, as Keras and TensorFlow's MobileNet have it."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TFLite's SAME padding along one axis of ``size`` pixels: (before, after); the odd one goes after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, shape: LayerShape) -> Tensor:
    """A convolution with SAME padding; x (n, in, height, width) → (n, out, height', width')."""
    layer = shape.layer
    if layer.op == "conv" and layer.kernel == 1:
        return _pointwise(x[..., :: layer.stride, :: layer.stride], kernel, bias)
    before, after = same_padding(shape.in_size, layer.kernel, layer.stride)
    if before != after:
        x = functional.pad(x, (before, after, before, after))
        before = 0
    groups = x.shape[1] if layer.op == "depthwise" else 1
    return functional.conv2d(x, kernel, bias, stride=layer.stride, padding=before, groups=groups)


def _pointwise(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    # As a product of matrices, which a channels-last image is: on CPUs the gradients of a convolution on maps of a
    # few pixels take up to three times as long.
    return functional.linear(x.permute(0, 2, 3, 1), kernel.flatten(1), bias).permute(0, 3, 1, 2)


def activate(x: Tensor, shape: LayerShape) -> Tensor:
    """The layer's activation, in place: neither batch normalisation nor a convolution needs its output again."""
    return functional.hardtanh(x, 0.0, 6.0, inplace=True) if shape.layer.activation == "relu6" else x


def run_graph(
    spec: NetworkSpec,
    x: Tensor,
    weighted: Callable[[LayerShape, Tensor], Tensor],
    watch: Callable[[str, Tensor], Tensor] = lambda _, y: y,
) -> Tensor:
    """Run a network on ``x`` (n, channels, height, width) → logits (n, classes).

    ``weighted`` computes the layers that have weights, with their normalisation but without their activation.
    ``watch`` sees the input and every layer's final output by its name, and returns what is used in its place.
    """
    values = {INPUT: watch(INPUT, x)}
    last_use = {name: shape.layer.name for shape in spec.shapes for name in shape.layer.inputs}
    for shape in spec.shapes:
        layer = shape.layer
        inputs = [values[name] for name in layer.inputs]
        if layer.op == "add":
            y = inputs[0] + inputs[1]
        elif layer.op == "global_average_pool":
            y = inputs[0].mean((2, 3), dtype=torch.float32)
        else:
            y = weighted(shape, inputs[0])
        values[layer.name] = watch(layer.name, activate(y, shape))
        for name in layer.inputs:
            if last_use[name] == layer.name:
                values.pop(name, None)
    return values[spec.layers[-1].name]


class LayerWeights(nn.Module):
    """The weights of one layer at its greatest width.

    ``kernel``: conv (out, in, height, width), channels-last; depthwise (channels, 1, height, width); dense (out, in).
    ``scale`` and ``shift``, (out,), are batch normalisation's; a dense layer has only ``shift``, its bias.
    """

    kernel: nn.Parameter
    shift: nn.Parameter
    scale: nn.Parameter | None

    def __init__(self, shape: LayerShape, out_width: int, in_width: int, generator: torch.Generator) -> None:
        super().__init__()
        layer = shape.layer
        self.kernel = nn.Parameter(_initial_kernel(shape, out_width, in_width, generator))
        self.shift = nn.Parameter(torch.zeros(out_width))
        self.scale = None if layer.op == "dense" else nn.Parameter(torch.ones(out_width))


def _initial_kernel(shape: LayerShape, out_width: int, in_width: int, generator: torch.Generator) -> Tensor:
    # He et al. 2015 (arXiv 1502.01852): variance 2 / fan-in before a rectifier, 1 / fan-in before the logits.
    layer = shape.layer
    if layer.op == "dense":
        return torch.randn(out_width, in_width, generator=generator) / math.sqrt(in_width)
    fan_width = 1 if layer.op == "depthwise" else in_width
    deviation = math.sqrt(2 / (fan_width * layer.kernel**2))
    kernel = torch.randn(out_width, fan_width, layer.kernel, layer.kernel, generator=generator) * deviation
    return kernel.contiguous(memory_format=torch.channels_last)


class _Cut(torch.autograd.Function):
    """The leading part of a parameter in some precision, whose gradient is added in place to the parameter's own.

    Autograd's slice would make a full-width gradient of zeros for every cut, and add it to the others in full.
    """

    @staticmethod
    def forward(ctx: Any, parameter: nn.Parameter, part: tuple[slice, ...], dtype: torch.dtype) -> Tensor:
        # The parameter itself is kept, not its value: what backward needs is where its gradient is.
        ctx.parameter, ctx.part = parameter, part
        return parameter.detach()[part].to(dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None]:
        parameter, gradient = ctx.parameter, gradients[0]
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad[ctx.part].add_(gradient)
        return None, None, None


def cut(parameter: nn.Parameter, *sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The first ``sizes`` along each leading axis; gradients go to the parameter's ``grad`` with ``backward``.

    ``torch.autograd.grad`` does not see them.
    """
    if sizes == parameter.shape[: len(sizes)] and dtype == parameter.dtype:
        return parameter
    part = tuple(slice(0, size) for size in sizes)
    if not (torch.is_grad_enabled() and parameter.requires_grad):
        return parameter.detach()[part].to(dtype)
    found: Tensor = _Cut.apply(parameter, part, dtype)  # type: ignore[no-untyped-call]
    return found


def layer_weights(layers: nn.ModuleDict, name: str) -> LayerWeights:
    """The weights of a layer by its name."""
    layer = layers[name]
    assert isinstance(layer, LayerWeights)  # noqa: S101 - networks are built of nothing else; for the type checker
    return layer


def has_weights(shape: LayerShape) -> bool:
    """Whether the layer carries weights."""
    return shape.layer.op in {"conv", "depthwise", "dense"}


def compute_device() -> torch.device:
    """A GPU when there is one; of several processes on a machine, each has its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def training_dtype(device: torch.device) -> torch.dtype:
    """In what networks are trained: bfloat16 where the hardware multiplies it natively, else float32.

    The weights themselves are always float32, and so are batch normalisation's statistics and the logits.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return torch.bfloat16 if native else torch.float32


def layer_dtype(shape: LayerShape, dtype: torch.dtype) -> torch.dtype:
    """In what one layer computes when the network computes in ``dtype``.

    On CPUs the bfloat16 gradients of a strided depthwise convolution, and of one on maps below 3×3, take a
    path that is twenty to a hundred times slower than float32's.
    """
    slow = shape.layer.op == "depthwise" and (shape.layer.stride > 1 or shape.in_size < 3)
    return torch.float32 if slow else dtype
