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

from edgewidth.training.networks.layers import (
    NORM_EPSILON,
    LayerWeights,
    convolve,
    cut,
    has_weights,
    layer_dtype,
    layer_weights,
    run_graph,
)

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import LayerShape


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
        widest = space.widths(space.largest)
        self.layers = nn.ModuleDict(
            {
                shape.layer.name: LayerWeights(
                    shape, resolve(shape.out_width, widest), resolve(shape.in_width, widest), generator
                )
                for shape in space.network.shapes
                if has_weights(shape)
            }
        )

    def forward(self, x: Tensor, config: ChannelConfig, moments: dict[str, Moments] | None = None) -> Tensor:
        """Logits (n, classes) of one configuration for normalised images (n, channels, height, width).

        With ``moments`` the statistics of this batch are stored there by layer name.
        """
        widths = self.space.widths(config)

        def weighted(shape: LayerShape, y: Tensor) -> Tensor:
            layer = layer_weights(self.layers, shape.layer.name)
            return apply_weights(shape, layer, y, resolve(shape.out_width, widths), moments)

        return run_graph(self.space.network, x, weighted)


def resolve(width: str | int, widths: Mapping[str, int]) -> int:
    """A width variable's width; a fixed width is itself."""
    return width if isinstance(width, int) else widths[width]


def apply_weights(
    shape: LayerShape, layer: LayerWeights, x: Tensor, out_width: int, moments: dict[str, Moments] | None
) -> Tensor:
    """One layer at ``out_width`` output channels with the weights of ``layer``, normalised.

    Its input width is that of ``x``.
    """
    shift = cut(layer.shift, out_width)
    if layer.scale is None:
        return functional.linear(x, cut(layer.kernel, out_width, x.shape[1]), shift)
    in_width = 1 if shape.layer.op == "depthwise" else x.shape[1]
    dtype = layer_dtype(shape, x.dtype)
    y = convolve(x.to(dtype), cut(layer.kernel, out_width, in_width, dtype=dtype), None, shape).to(x.dtype)
    return _batch_norm(y, cut(layer.scale, out_width), shift, shape.layer.name, moments)


def _batch_norm(x: Tensor, scale: Tensor, shift: Tensor, name: str, moments: dict[str, Moments] | None) -> Tensor:
    if moments is None:
        return functional.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPSILON)
    # With a momentum of 1 torch leaves this batch's own statistics in the buffers.
    found = Moments(torch.zeros_like(scale), torch.ones_like(scale))
    y = functional.batch_norm(
        x, found.mean, found.variance, scale, shift, training=True, momentum=1.0, eps=NORM_EPSILON
    )
    moments[name] = found
    return y
