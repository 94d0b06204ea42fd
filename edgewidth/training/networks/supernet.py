"""The slimmable network: one set of weights that contains every configuration of a search space.

A configuration uses the first channels of every layer (Yu et al. 2019, "Slimmable neural networks",
arXiv 1812.08928), cut out of the weights rather than masked, so a narrow configuration costs what it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.graph.widths import Cuts
from edgewidth.training.networks.layers import ByLayer, LayerTensors, LayerWeights, layer_weights, run_graph
from edgewidth.training.networks.operators import compute, layer_dtype

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Widths


class Moments(NamedTuple):
    """What batch normalisation subtracts and divides by: mean and variance of one layer, each (channels,)."""

    mean: Tensor
    variance: Tensor


NetworkMoments = Mapping[str, Moments]
"""By layer name."""


class Supernet(nn.Module):
    """All configurations of ``space`` in one set of weights.

    Batch normalisation uses the statistics of the batch at hand: those of one configuration are useless to
    another, so none are kept, and a chosen configuration's are computed with
    ``edgewidth.training.networks.inference.measure_moments``.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        generator = torch.Generator().manual_seed(seed)
        self.widths = space.widths(space.largest)
        self.layers = ByLayer(
            {layer.name: LayerWeights(layer, self.widths, generator) for layer in space.network.layers if layer.kernel}
        )

    def weights(self, config: ChannelConfig) -> dict[str, LayerTensors]:
        """What one configuration uses of every layer that has weights."""
        cuts = Cuts(self.space.widths(config), self.widths)
        return {name: layer_weights(self.layers, name).cut(cuts) for name in self.layers}

    def forward(self, x: Tensor, config: ChannelConfig, moments: dict[str, Moments] | None = None) -> Tensor:
        """Outputs (n, outputs) of one configuration for normalised images (n, channels, height, width).

        With ``moments`` the statistics of this batch are stored there by layer name.
        """
        cuts = Cuts(self.space.widths(config), self.widths)
        return run_layers(self.space.network, self.layers, cuts, x, moments)


def run_layers(
    network: NetworkSpec, layers: nn.ModuleDict, cuts: Cuts, x: Tensor, moments: dict[str, Moments] | None
) -> Tensor:
    """Run a network with what ``cuts`` keep of its weights; ``moments`` receives the statistics of this batch."""

    def weighted(layer: Layer, y: Tensor) -> Tensor:
        weights = layer_weights(layers, layer.name).cut(cuts, layer_dtype(layer, y.dtype))
        return apply_weights(layer, cuts.widths, weights, y, moments)

    return run_graph(network, cuts.widths, x, weighted)


def apply_weights(
    layer: Layer, widths: Widths, weights: LayerTensors, x: Tensor, moments: dict[str, Moments] | None
) -> Tensor:
    """One layer with these weights, normalised with the statistics of this batch, which ``moments`` receives."""
    kernel, shift, scale, epsilon = weights
    if kernel is not None:
        bias = None if scale is not None or shift is None else shift.to(kernel.dtype)
        x = compute(layer, widths, x, kernel, bias).to(x.dtype)
    if scale is None:
        return x
    if moments is None:
        return functional.batch_norm(x, None, None, scale, shift, training=True, eps=epsilon)
    # With a momentum of 1 torch leaves this batch's own statistics in the buffers.
    found = Moments(torch.zeros_like(scale), torch.ones_like(scale))
    y = functional.batch_norm(x, found.mean, found.variance, scale, shift, training=True, momentum=1.0, eps=epsilon)
    moments[layer.name] = found
    return y
