"""Computing with trained weights: statistics of a configuration, folded weights, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgewidth.data.pixels import normalise_tensor
from edgewidth.records.weights import FoldedLayer, FoldedWeights
from edgewidth.training.networks.layers import run_graph
from edgewidth.training.networks.operators import compute
from edgewidth.training.networks.supernet import Moments, NetworkMoments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.training.networks.layers import LayerTensors
    from edgewidth.training.networks.plain import PlainNetwork

ACTIVATION_BYTES = 256 * 2**20
"""How large the largest activations of one batch may become; it bounds the batch."""


class FoldedTensors(NamedTuple):
    """One layer with batch normalisation folded into it; shapes as in ``FoldedLayer``."""

    kernel: Tensor
    bias: Tensor


def batch_size(spec: NetworkSpec, widths: dict[str, int], *, most: int = 512) -> int:
    """How many images to compute at once, so that no activation outgrows ``ACTIVATION_BYTES``."""
    largest = max(layer.output.elements(widths) for layer in spec.layers)
    return max(2, min(most, ACTIVATION_BYTES // (4 * largest)))


@torch.no_grad()
def measure_moments(
    forward: Callable[[Tensor, dict[str, Moments]], Tensor], images: Tensor, *, batch: int
) -> NetworkMoments:
    """The statistics of every normalised layer on ``images`` (n, height, width, channels) in mixed order.

    With all images in one batch they are exact. Otherwise every batch is normalised by its own on its way to later
    layers, and what is returned are mean and variance of all batches together, which are as large as one another.
    """
    count = max(1, min(-(-len(images) // batch), len(images) // 2))  # one image alone has no variance
    return moments_of(forward, map(normalise_tensor, torch.tensor_split(images, count)))


@torch.no_grad()
def moments_of(forward: Callable[[Tensor, dict[str, Moments]], Tensor], batches: Iterable[Tensor]) -> NetworkMoments:
    """Likewise for batches of normalised images (n, channels, height, width); there is one at least."""
    found, lengths = list[dict[str, Moments]](), list[int]()
    for batch in batches:
        moments: dict[str, Moments] = {}
        forward(batch, moments)
        found.append(moments)
        lengths.append(len(batch))
    return {name: _together([moments[name] for moments in found], lengths) for name in found[0]}


def _together(parts: list[Moments], lengths: list[int]) -> Moments:
    """Of parts of these lengths, by the law of total variance."""
    means, variances = (torch.stack(of_parts) for of_parts in zip(*parts, strict=True))
    weights = means.new_tensor(lengths) / sum(lengths)
    mean = weights @ means
    return Moments(mean, weights @ (variances + (means - mean) ** 2))


def fold_tensors(weights: Mapping[str, LayerTensors], moments: NetworkMoments) -> dict[str, FoldedTensors]:
    """Fold batch normalisation with these statistics into the weights; a layer without it keeps its own.

    Gradients go through to the weights.
    """
    return {name: _fold(tensors, moments.get(name)) for name, tensors in weights.items()}


def _fold(tensors: LayerTensors, moments: Moments | None) -> FoldedTensors:
    kernel, shift, scale, epsilon = tensors
    if scale is not None and shift is not None and moments is not None:
        factor = scale * torch.rsqrt(moments.variance + epsilon)
        bias = shift - moments.mean * factor
        if kernel is None:
            return FoldedTensors(factor, bias)
        return FoldedTensors(kernel * factor.reshape(-1, *[1] * (kernel.ndim - 1)), bias)
    if kernel is None:
        raise ValueError("batch normalisation is folded with its statistics, and there are none")
    return FoldedTensors(kernel, kernel.new_zeros(len(kernel)) if shift is None else shift)


def run_folded(
    spec: NetworkSpec,
    widths: Widths,
    weights: Mapping[str, FoldedTensors],
    x: Tensor,
    watch: Callable[[str, Tensor], Tensor] = lambda _, y: y,
) -> Tensor:
    """The outputs (n, outputs) of the exported network for normalised images, each layer in the precision of its input.

    ``watch`` is as in ``run_graph``.
    """

    def weighted(layer: Layer, y: Tensor) -> Tensor:
        return compute(layer, widths, y, *(tensor.to(y.dtype) for tensor in weights[layer.name]))

    return run_graph(spec, widths, x, weighted, watch)


@torch.no_grad()
def folded_outputs(spec: NetworkSpec, widths: Widths, weights: Mapping[str, FoldedTensors], images: Tensor) -> Tensor:
    """Outputs (n, outputs) of ``images`` (n, height, width, channels), computed as the exported network does."""
    return run_folded(spec, widths, weights, normalise_tensor(images))


@torch.no_grad()
def network_outputs(network: PlainNetwork, images: Inputs) -> NDArray[np.float32]:
    """The trained network's outputs (n, outputs) for images or features (n, height, width, channels)."""
    spec = network.space.network
    device = next(network.parameters()).device
    weights = fold_tensors(network.weights(), network.moments)
    widths = network.widths
    size = batch_size(spec, widths)
    parts = [folded_outputs(spec, widths, weights, part.to(device)).cpu().numpy() for part in batches(images, size)]
    return np.concatenate(parts) if parts else np.zeros((0, spec.outputs), np.float32)


def batches(images: Inputs, size: int) -> Iterator[Tensor]:
    """The images as tensors of at most ``size``, in order."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(images[start : start + size])


@torch.no_grad()
def fold(network: PlainNetwork) -> FoldedWeights:
    """The trained weights as every exporter takes them."""
    return folded_weights(fold_tensors(network.weights(), network.moments))


def folded_weights(tensors: Mapping[str, FoldedTensors]) -> FoldedWeights:
    """The same without torch."""
    return {
        name: FoldedLayer(kernel.cpu().contiguous().numpy().copy(), bias.cpu().numpy().copy())
        for name, (kernel, bias) in tensors.items()
    }
