"""Other people's normalisation made ours, without changing what a network computes: of pixels, and of batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from edgewidth.data.pixels import PIXEL_MEAN, PIXEL_STD, normalise_tensor
from edgewidth.errors import InputError
from edgewidth.graph.operators.operator import Affine
from edgewidth.graph.spec import INPUT
from edgewidth.training.networks.inference import fold_tensors
from edgewidth.training.networks.layers import layer_weights, run_graph
from edgewidth.training.networks.operators import compute
from edgewidth.training.networks.supernet import Moments

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from edgewidth.graph.spec import Layer
    from edgewidth.training.networks.plain import PlainNetwork

FULL_SCALE = 255.0
"""The pixel that is 1 where mean and standard deviation are given for images from 0 to 1."""


@torch.no_grad()
def absorb_normalisation(network: PlainNetwork, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a network that takes ``(pixel / 255 - mean) / std`` take pixels as every network here does.

    What the layers that read the image compute stays exactly the same where they read pixels. Where they read padding
    it does not: zeros stood for pixels of the mean colour before, and stand for grey afterwards. That changed the
    logits of EfficientNet-Lite0 at 96 pixels, with ImageNet's usual normalisation, by 7 % of their spread (root mean
    square).

    Args:
        network: Its weights and statistics are changed in place.
        mean: For each channel of the image, where pixels are from 0 to 1.
        std: Likewise.

    Raises:
        InputError: There are not as many numbers as channels, one is not finite, a standard deviation is not positive,
            or something else than a convolution or fully connected layer with batch normalisation or a bias reads the
            image.
    """
    channels = network.space.network.in_channels
    # Whatever compares is no nan.
    fit = all(-math.inf < one < math.inf for one in mean) and all(0 < one < math.inf for one in std)
    if len(mean) != channels or len(std) != channels or not fit:
        raise InputError(
            f"The normalisation with mean {tuple(mean)} and standard deviation {tuple(std)} does not fit images of "
            f"{channels} channel(s).",
            remedy="Give one finite mean and one positive standard deviation for each channel, of pixels from 0 to 1.",
        )
    # (pixel / 255 - mean) / std = slope · ours + offset, where ours = (pixel - PIXEL_MEAN) / PIXEL_STD.
    slope = PIXEL_STD / FULL_SCALE / torch.tensor(std)
    offset = (PIXEL_MEAN / FULL_SCALE - torch.tensor(mean)) / torch.tensor(std)
    readers = [layer for layer in network.space.network.layers if INPUT in layer.inputs]
    for layer in readers:
        if not isinstance(layer.operator, Affine) or not layer.operator.biased:
            raise InputError(
                f"The layer {layer.name} reads the image, and cannot absorb its normalisation.",
                remedy="Begin the network with a convolution that has a bias or batch normalisation.",
            )
    for layer in readers:
        weights = layer_weights(network.layers, layer.name)
        assert weights.kernel is not None  # noqa: S101 - that of a convolution or dense layer; for the type checker
        slopes, offsets = (_along_inputs(weights.kernel, values) for values in (slope, offset))
        constant = (weights.kernel * offsets).flatten(1).sum(1)
        weights.kernel.mul_(slopes)
        if layer.operator.normalised:
            network.moments[layer.name].mean.sub_(constant)
        elif weights.shift is not None:
            weights.shift.add_(constant)


def _along_inputs(kernel: Tensor, values: Tensor) -> Tensor:
    """One value for each channel of the image, shaped to multiply the kernel of a layer that reads the image.

    A depthwise kernel, and one in groups, has an input channel for each of its groups of output channels.
    """
    out, ins, *rest = kernel.shape
    groups = len(values) // ins
    by_group = values.to(kernel).reshape(groups, ins).repeat_interleave(out // groups, 0)
    return by_group.reshape(out, ins, *[1] * len(rest))


@torch.no_grad()
def settle_normalisation(network: PlainNetwork, layers: Collection[str], images: Tensor) -> None:
    """Give batch normalisation that was put back the statistics of ``images``, and leave what it computes unchanged.

    With the statistics that are measured come the scale and the shift that undo them. So training, which normalises
    with the statistics of its batches, begins with what the network computed before.

    Args:
        network: Its weights and statistics are changed in place.
        layers: Whose normalisation it is, by name; until now it only adds a bias.
        images: Training images or features (n, height, width, channels), as many as fit into memory at once.
    """
    folded = fold_tensors(network.weights(), network.moments)
    found: dict[str, Moments] = {}

    def weighted(layer: Layer, x: Tensor) -> Tensor:
        y = compute(layer, network.widths, x, *folded[layer.name])
        if layer.name in layers:
            over = [0, *range(2, y.ndim)]
            found[layer.name] = Moments(y.mean(over), y.var(over, correction=0))
        return y

    run_graph(network.space.network, network.widths, normalise_tensor(images), weighted)
    for name, (mean, variance) in found.items():
        weights, moments = layer_weights(network.layers, name), network.moments[name]
        assert weights.scale is not None  # noqa: S101 - it is normalised; for the type checker
        assert weights.shift is not None  # noqa: S101
        weights.scale.copy_(torch.sqrt(variance + weights.epsilon))
        weights.shift.copy_(mean)
        moments.mean.copy_(mean - folded[name].bias)
        moments.variance.copy_(variance)
