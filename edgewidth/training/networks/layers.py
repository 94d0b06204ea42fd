"""The layers of a network in torch, driven by its description.

Whatever runs a network (slimmable, plain, with batch normalisation folded away) walks the same graph with
``run_graph``; what a layer computes stands in ``operators``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from edgewidth.graph.operators import BatchNorm
from edgewidth.graph.operators.operator import NORM_EPSILON, Affine
from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import lengths
from edgewidth.training.networks.operators import activate, compute

if TYPE_CHECKING:
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Cuts, Widths


def run_graph(
    network: NetworkSpec,
    widths: Widths,
    x: Tensor,
    weighted: Callable[[Layer, Tensor], Tensor],
    watch: Callable[[str, Tensor], Tensor] = lambda _, y: y,
) -> Tensor:
    """Run a network of these widths on ``x`` (n, channels, height, width) → outputs such as logits (n, outputs).

    ``weighted`` computes the layers that have weights, with their normalisation but without their activation.
    ``watch`` sees the input and every layer's final output by its name, and returns what is used in its place.
    """
    values = {INPUT: watch(INPUT, x)}
    last_use = {name: layer.name for layer in network.layers for name in layer.inputs}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        y = weighted(layer, *inputs) if layer.kernel else compute(layer, widths, *inputs)
        values[layer.name] = watch(layer.name, activate(layer, y))
        for name in layer.inputs:
            if last_use[name] == layer.name:
                values.pop(name, None)
    return values[network.layers[-1].name].float()


class LayerTensors(NamedTuple):
    """One layer's weights at some widths; ``scale`` and ``shift``, (out,), are batch normalisation's.

    A layer without normalisation has no scale, and its ``shift`` is its bias, or None. Batch normalisation that is a
    layer of its own has no kernel. ``epsilon`` is what it adds to the variance.
    """

    kernel: Tensor | None
    shift: Tensor | None
    scale: Tensor | None
    epsilon: float


class LayerWeights(nn.Module):
    """The weights of one layer at its greatest width.

    ``kernel`` has the axes of ``Layer.kernel``, and is channels-last where it has height and width: for a conv (out,
    in, height, width), depthwise (channels, 1, height, width), dense (out, in), prelu (channels,). Which of the three
    there are is said in ``LayerTensors``.
    """

    kernel: nn.Parameter | None
    shift: nn.Parameter | None
    scale: nn.Parameter | None

    def __init__(self, layer: Layer, widths: Widths, generator: torch.Generator) -> None:
        super().__init__()
        self.axes, operator = layer.kernel, layer.operator
        self.epsilon = operator.epsilon if isinstance(operator, Affine | BatchNorm) else NORM_EPSILON
        shape = lengths(layer.kernel, widths)
        self.kernel = None
        if not isinstance(operator, BatchNorm):
            kernel = operator.initial(torch.randn(shape, generator=generator), math.prod(shape[1:]))
            if kernel.ndim == 4:
                kernel = kernel.contiguous(memory_format=torch.channels_last)
            self.kernel = nn.Parameter(kernel)
        self.shift = nn.Parameter(torch.zeros(shape[0])) if operator.biased else None
        self.scale = nn.Parameter(torch.ones(shape[0])) if operator.normalised else None

    def cut(self, cuts: Cuts, dtype: torch.dtype = torch.float32) -> LayerTensors:
        """What a configuration uses, its kernel in ``dtype``."""
        parts = cuts.of(self.axes)
        kernel = None if self.kernel is None else cut(self.kernel, parts, dtype)
        shift, scale = (None if own is None else cut(own, parts[:1]) for own in (self.shift, self.scale))
        return LayerTensors(kernel, shift, scale, self.epsilon)


class _Cut(torch.autograd.Function):
    """A part of a parameter in some precision, whose gradient is added in place to the parameter's own.

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


def cut(parameter: nn.Parameter, parts: Sequence[tuple[slice, ...]], dtype: torch.dtype = torch.float32) -> Tensor:
    """The ``parts`` along each axis, joined; gradients go to the parameter's ``grad`` with ``backward``.

    ``torch.autograd.grad`` does not see them.
    """
    for axis, slices in enumerate(parts):
        if len(slices) > 1:
            before, after = parts[:axis], parts[axis + 1 :]
            return torch.cat([cut(parameter, [*before, (part,), *after], dtype) for part in slices], axis)
    part = tuple(slices[0] for slices in parts)
    if dtype == parameter.dtype and all(p.stop - p.start == n for p, n in zip(part, parameter.shape, strict=True)):
        return parameter
    if not (torch.is_grad_enabled() and parameter.requires_grad):
        return parameter.detach()[part].to(dtype)
    found: Tensor = _Cut.apply(parameter, part, dtype)  # type: ignore[no-untyped-call]
    return found


class ByLayer(nn.ModuleDict):
    """Modules by the names of layers, whichever these are.

    torch's own refuses names that are attributes of it, and people call layers ``values`` or ``type``.
    """

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Put it there. It hides no attribute: modules are found by ``[]``."""
        if module is not None:
            self._modules[name] = module

    def train(self, mode: bool = True) -> Self:
        """As torch does; but it would take ``training`` for the layer of that name."""
        self.__dict__["training"] = mode
        for module in self.children():
            module.train(mode)
        return self


def layer_weights(layers: nn.ModuleDict, name: str) -> LayerWeights:
    """The weights of a layer by its name."""
    layer = layers[name]
    assert isinstance(layer, LayerWeights)  # noqa: S101 - networks are built of nothing else; for the type checker
    return layer


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
