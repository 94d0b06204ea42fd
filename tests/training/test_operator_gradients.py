"""Whatever has weights is cut out of the supernet with its gradients: every operator, at several configurations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from operator_network import SIZE, operator_space

from edgewidth.data.pixels import normalise_tensor
from edgewidth.graph.space import ChannelConfig
from edgewidth.graph.widths import Cuts
from edgewidth.training.networks.inference import fold_tensors, measure_moments, network_outputs, run_folded
from edgewidth.training.networks.layers import LayerWeights, layer_weights
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.quantised import QuantisedNetwork
from edgewidth.training.networks.supernet import Moments, Supernet

SPACE = operator_space(7)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    """With numbers that are nowhere alike."""
    supernet = Supernet(SPACE, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return supernet


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 2, *SIZE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("config", [ChannelConfig((3, 5, 2)), ChannelConfig((8, 2, 5)), SPACE.largest])
def test_a_cut_gets_the_gradients_of_a_network_of_its_own(supernet: Supernet, config: ChannelConfig) -> None:
    """A plain network with copies of the weights has the same outputs and gradients; outside of the cut are none."""
    supernet.zero_grad()
    plain, x = PlainNetwork.from_supernet(supernet, config), images(6)
    for network, y in ((supernet, supernet(x, config)), (plain, plain(x))):
        y.square().mean().backward()
        assert all(p.grad is not None for p in network.parameters())
    widths, widest = SPACE.widths(config), SPACE.widths(SPACE.largest)
    for layer in SPACE.network.layers:
        if not layer.kernel:
            continue
        own = dict(layer_weights(supernet.layers, layer.name).named_parameters())
        for key, copy in layer_weights(plain.layers, layer.name).named_parameters():
            gradient, expected = own[key].grad, copy.grad
            assert gradient is not None
            parts = Cuts(widths, widest).of(layer.kernel[: copy.ndim])
            inside = torch.zeros_like(gradient, dtype=torch.bool)
            for place in product(*parts):
                inside[place] = True
            torch.testing.assert_close(gradient[inside].reshape(copy.shape), expected, rtol=1e-3, atol=1e-5)
            assert not gradient[~inside].any()


def test_which_weights_a_layer_has(supernet: Supernet) -> None:
    """A kernel unless it only normalises, a scale with batch normalisation, a shift with that or a bias."""
    for layer in SPACE.network.layers:
        if layer.kernel:
            weights = layer_weights(supernet.layers, layer.name)
            assert isinstance(weights, LayerWeights)
            has = [own is not None for own in (weights.kernel, weights.shift, weights.scale)]
            operator = layer.operator
            assert has == [operator.op != "batch_norm", operator.biased, operator.normalised]


def test_folded_weights_compute_what_the_statistics_gave(supernet: Supernet) -> None:
    """With the statistics of one batch the folded network is the network as it trains on that batch."""
    config = ChannelConfig((5, 3, 8))
    pixels = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 2), np.uint8)
    seen: list[torch.Tensor] = []

    def forward(x: torch.Tensor, found: dict[str, Moments]) -> torch.Tensor:
        seen.append(x)
        logits: torch.Tensor = supernet(x, config, found)
        return logits

    with torch.no_grad():
        moments = measure_moments(forward, torch.from_numpy(pixels), batch=len(pixels))
        # torch trains with the biased variance, and keeps that of samples.
        for layer in SPACE.network.layers:
            if layer.name in moments:
                count = len(pixels) * layer.output.pixels
                moments[layer.name].variance.mul_((count - 1) / count)
        folded = fold_tensors(supernet.weights(config), moments)
        y = run_folded(SPACE.network, SPACE.widths(config), folded, seen[0])
        torch.testing.assert_close(y, supernet(seen[0], config), rtol=1e-4, atol=1e-4)


def test_a_rounded_network_stays_near(supernet: Supernet) -> None:
    """Weights of one axis are rounded too; and its gradients reach them all."""
    plain = PlainNetwork.from_supernet(supernet, SPACE.largest)
    pixels = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 2), np.uint8)
    plain.set_moments(measure_moments(plain.forward, torch.from_numpy(pixels), batch=len(pixels)))
    rounded = QuantisedNetwork(plain)
    rounded.calibrate(torch.from_numpy(pixels))
    y, exact = (
        rounded.eval()(normalise_tensor(torch.from_numpy(pixels))),
        torch.from_numpy(network_outputs(plain, pixels)),
    )
    assert 1e-3 < float((y.detach() - exact).std() / exact.std()) < 0.1
    y.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in plain.parameters())
