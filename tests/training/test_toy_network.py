"""In torch the toy network computes what the same network computes that was written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from toy_network import CHANNELS, OUTPUTS, SIZE, HandWritten, cut_by_hand, kept_channels, toy_space

from edgewidth.data.pixels import normalise_tensor
from edgewidth.graph.space import ChannelConfig
from edgewidth.training.networks.inference import fold_tensors, folded_outputs, measure_moments, network_outputs
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.quantised import QuantisedNetwork
from edgewidth.training.networks.supernet import Supernet

SPACE = toy_space()
CONFIGS = [SPACE.largest, SPACE.smallest, ChannelConfig((5, 2, 8, 5)), ChannelConfig((8, 8, 5, 2))]
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, SIZE, SIZE, CHANNELS), np.uint8))


def make_supernet() -> Supernet:
    """Random weights, those of batch normalisation too."""
    supernet, generator = Supernet(SPACE, seed=1), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return supernet


def by_hand(supernet: Supernet, config: ChannelConfig) -> HandWritten:
    tensors = {key.removeprefix("layers."): tensor for key, tensor in supernet.state_dict().items()}
    return HandWritten(cut_by_hand(tensors, config, SPACE.largest[0]))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_supernet_is_the_network_of_its_cuts(config: ChannelConfig) -> None:
    """Logits and gradients; the gradients of what is cut away are zero."""
    supernet = make_supernet()
    reference = by_hand(supernet, config).train()
    ours, theirs = supernet(normalise_tensor(IMAGES), config), reference(normalise_tensor(IMAGES))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    labels = torch.arange(len(IMAGES)) % OUTPUTS
    torch.autograd.backward([functional.cross_entropy(one, labels) for one in (ours, theirs)])
    gradients = {name: conv.weight.grad for name, conv in reference.convs.items()}
    gradients["logits"] = reference.logits.weight.grad
    for name, (outs, ins) in kept_channels(config, SPACE.largest[0]).items():
        kernel, gradient = layer_weights(supernet.layers, name).kernel, gradients[name]
        assert gradient is not None
        assert kernel is not None
        expected = torch.zeros_like(kernel)
        expected[np.ix_(outs, ins)] = gradient
        torch.testing.assert_close(kernel.grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_plain_network_is_the_supernets_cut(config: ChannelConfig) -> None:
    """In training and in inference, folded from the supernet's weights or from its own."""
    supernet = make_supernet()
    reference, network = by_hand(supernet, config).train(), PlainNetwork.from_supernet(supernet, config)
    x = normalise_tensor(IMAGES)
    torch.testing.assert_close(network(x), reference(x), rtol=1e-4, atol=1e-5)
    expected = reference.eval()(x)
    moments = measure_moments(network.forward, IMAGES, batch=len(IMAGES))
    network.set_moments(moments)
    np.testing.assert_allclose(
        network_outputs(network, IMAGES.numpy()), expected.detach().numpy(), rtol=1e-3, atol=1e-4
    )
    folded = fold_tensors(supernet.weights(config), moments)
    torch.testing.assert_close(
        folded_outputs(SPACE.network, SPACE.widths(config), folded, IMAGES), expected, rtol=1e-3, atol=1e-4
    )


def test_quantised_it_is_almost_the_same() -> None:
    """Logits are off by a few hundredths of their spread, and by more than nothing."""
    network = PlainNetwork.from_supernet(make_supernet(), ChannelConfig((5, 2, 8, 5)))
    network.set_moments(measure_moments(network.forward, IMAGES, batch=len(IMAGES)))
    quantised = QuantisedNetwork(network).eval()
    quantised.calibrate(IMAGES)
    with torch.no_grad():
        rounded = quantised(normalise_tensor(IMAGES)).numpy()
    exact = network_outputs(network, IMAGES.numpy())
    assert 0 < np.sqrt(np.mean((rounded - exact) ** 2)) < 0.05 * exact.std(0).mean()
