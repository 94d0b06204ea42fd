"""Every family as torch computes it: what others' modules compute with the same weights, and as a supernet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from other_networks import ELSEWHERE, other_network, run_layers, widths_elsewhere
from torch.nn import functional

from edgewidth.graph.families.registry import FAMILIES, describe, search_space
from edgewidth.graph.widths import lengths
from edgewidth.training.networks.inference import FoldedTensors, run_folded
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet

if TYPE_CHECKING:
    from other_networks import Ran

    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.graph.widths import Widths


def taken_over(network: NetworkSpec, widths: Widths, ran: list[Ran]) -> dict[str, FoldedTensors]:
    """Weights for every layer: the first unused ones of its shape, in the order in which layers run."""
    rest, found = list(ran), {}
    for layer in network.layers:
        if layer.kernel:
            shape = lengths(layer.kernel, widths)
            place = next(i for i, one in enumerate(rest) if tuple(one.kernel.shape) == (*shape, 1, 1)[:4])
            kernel, bias, _ = rest.pop(place)
            found[layer.name] = FoldedTensors(kernel.reshape(shape), bias)
    assert not rest
    return found


# pytorchcv's MobileNet-v1 has ReLU, as the paper does, and not ReLU6, as the authors' code does.
@pytest.mark.parametrize("family", sorted(ELSEWHERE.keys() - {"mobilenet_v1"}))
def test_logits_are_those_of_other_implementations(family: str) -> None:
    """With their weights; at 65 pixels, 33, 17, … the padding of both sides alike is SAME padding."""
    resolution = 64 if ELSEWHERE[family].pads_as_tensorflow else 65
    images = torch.randn(4, 3, resolution, resolution, generator=torch.Generator().manual_seed(3))
    theirs, ran = run_layers(other_network(family), images)
    ours = describe(family, resolution=resolution, in_channels=3, num_classes=1000)
    widths = widths_elsewhere(family, ours)
    with torch.inference_mode():
        logits = run_folded(ours.network, widths, taken_over(ours.network, widths, ran), images)
    assert float(theirs.std(0).mean()) > 1e-3 * float(theirs.std())  # they depend on the image
    torch.testing.assert_close(logits, theirs, rtol=0, atol=1e-4 * float(theirs.std()))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_as_a_supernet(family: str) -> None:
    """A loss of the widest configuration moves every weight; a narrower one is the plain network of its own weights."""
    space = search_space(family, resolution=32, in_channels=3, num_classes=5, max_width=0.5, levels=3)
    supernet = Supernet(space, seed=1)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    torch.autograd.backward(functional.cross_entropy(supernet(images, space.largest), torch.arange(8) % 5))
    for name, parameter in supernet.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    config = space.sample(np.random.default_rng(0))
    plain = PlainNetwork.from_supernet(supernet, config)
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in supernet.parameters())
    torch.testing.assert_close(plain(images), supernet(images, config))
