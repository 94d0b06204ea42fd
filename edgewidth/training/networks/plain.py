"""A network at fixed widths, as it is trained at the end and exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgewidth.graph.widths import Cuts
from edgewidth.training.networks.layers import ByLayer, LayerTensors, LayerWeights, layer_weights
from edgewidth.training.networks.supernet import Moments, NetworkMoments, Supernet, run_layers

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace


class PlainNetwork(nn.Module):
    """One configuration with weights of its own.

    In training, batch normalisation uses the batch at hand; what inference uses are ``moments``, computed on
    training images when the weights are final (``set_moments``).

    Raises:
        InputError: ``config`` is not in ``space``.
    """

    def __init__(self, space: SearchSpace, config: ChannelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.config = config
        self.widths = space.widths(config)
        generator = torch.Generator().manual_seed(seed)
        self.layers = ByLayer()
        self.statistics = ByLayer()
        for layer in space.network.layers:
            if layer.kernel:
                weights = LayerWeights(layer, self.widths, generator)
                self.layers[layer.name] = weights
                if weights.scale is not None:
                    self.statistics[layer.name] = _Statistics(len(weights.scale))

    @classmethod
    def from_supernet(cls, supernet: Supernet, config: ChannelConfig) -> PlainNetwork:
        """A copy of the supernet's weights for one configuration; its moments are yet to be set."""
        network = cls(supernet.space, config)
        with torch.no_grad():
            for name, tensors in supernet.weights(config).items():
                for key, parameter in network.layers[name].named_parameters():
                    parameter.copy_(getattr(tensors, key))
        return network

    def weights(self) -> dict[str, LayerTensors]:
        """The weights of every layer that has any: all of them."""
        cuts = Cuts(self.widths, self.widths)
        return {name: layer_weights(self.layers, name).cut(cuts) for name in self.layers}

    def forward(self, x: Tensor, moments: dict[str, Moments] | None = None) -> Tensor:
        """Outputs (n, outputs) for normalised images (n, channels, height, width), with this batch's statistics.

        With ``moments`` these statistics are stored there by layer name.
        """
        return run_layers(self.space.network, self.layers, Cuts(self.widths, self.widths), x, moments)

    @property
    def moments(self) -> NetworkMoments:
        """The statistics that inference uses."""
        return {name: self._statistics(name).moments() for name in self.statistics}

    def set_moments(self, moments: NetworkMoments) -> None:
        """Fix the statistics that inference uses."""
        for name, found in moments.items():
            own = self._statistics(name).moments()
            own.mean.copy_(found.mean)
            own.variance.copy_(found.variance)

    def _statistics(self, name: str) -> _Statistics:
        statistics = self.statistics[name]
        assert isinstance(statistics, _Statistics)  # noqa: S101 - nothing else is put there; for the type checker
        return statistics


class _Statistics(nn.Module):
    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def moments(self) -> Moments:
        return Moments(self.mean, self.variance)
