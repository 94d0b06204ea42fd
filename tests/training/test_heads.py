"""Trained networks whose outputs are made by other layers than a last linear one begin with their weights too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from own_networks import randomised
from torch import Tensor, nn

from edgewidth.capture.capture import capture
from edgewidth.data.pixels import normalise_tensor
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.pretrained import save_brought, trained_network
from edgewidth.training.networks.weights import read_tensors, save_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANNELS, CLASSES, OTHERS, SIZE = 12, 7, 10, 16


class Linear(nn.Module):
    """What a function makes of the features' means and of linear layers."""

    def __init__(self, made: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.made, self.layers = made, nn.ModuleList(layers)
        self.bias = nn.Parameter(torch.randn(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.made(x.mean((2, 3)), self.bias, *self.layers)


def classify() -> nn.Module:
    return nn.Linear(CHANNELS, CLASSES)


def pooled(*layers: nn.Module) -> nn.Module:
    """A convolution that makes the classes, whatever follows it, and the mean of all pixels."""
    return nn.Sequential(nn.Conv2d(CHANNELS, CLASSES, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


HEADS: dict[str, Callable[[], nn.Module]] = {
    "a linear layer": lambda: Linear(lambda x, _, a: a(x), classify()),
    "a convolution and the mean": pooled,
    "with a rectifier between them": lambda: pooled(nn.ReLU()),
    "with batch normalisation": lambda: pooled(nn.ReLU(), nn.BatchNorm2d(CLASSES), nn.PReLU(CLASSES)),
    "with a depthwise convolution": lambda: pooled(nn.Conv2d(CLASSES, CLASSES, 3, groups=CLASSES)),
    "a temperature": lambda: Linear(lambda x, _, a: a(x) / 2.5, classify()),
    "a bias": lambda: Linear(lambda x, bias, a: a(x) + bias, classify()),
    "two of them added": lambda: Linear(lambda x, _, a, b: a(x) + b(torch.relu(x)), classify(), classify()),
    "one that weighs the other": lambda: Linear(lambda x, _, a, b: a(x) * torch.sigmoid(b(x)), classify(), classify()),
    "normalised logits": lambda: Linear(lambda x, _, a, n: n(a(x)), classify(), nn.BatchNorm1d(CLASSES)),
}


def network(head: str) -> nn.Module:
    """A network with it, and batch normalisation that does something."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, CHANNELS, 3, 2, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU())
    return randomised(nn.Sequential(body, HEADS[head]()))


@pytest.mark.parametrize("head", HEADS)
def test_any_head_is_kept_for_its_own_classes_and_begins_anew_for_others(head: str, tmp_path: Path) -> None:
    """All layers of it, and none before it; as its file of weights tells it, too, once the network was trained."""
    module, path = network(head), tmp_path / "given.safetensors"
    pixels = torch.randint(0, 256, (8, SIZE, SIZE, 1), dtype=torch.uint8)
    for outputs in (CLASSES, OTHERS):
        captured = capture(module, torch.zeros(2, 1, SIZE, SIZE), outputs=outputs)
        space = space_around(captured.network, captured.base_widths, WidthRanges(with_base=True))
        save_brought(space, captured.weights, path, source=path, asked="")
        made, given = trained_network(space, path, seed=0)
        found = torch.from_numpy(network_outputs(made, pixels.numpy()))
        if outputs == CLASSES:
            assert not given.fresh
            torch.testing.assert_close(found, module(normalise_tensor(pixels)).detach(), rtol=1e-4, atol=1e-5)
            save_plain(made, tmp_path / "own.safetensors")
        else:
            assert found.shape == (len(pixels), OTHERS)
            assert {name.split(".")[1] for name in read_tensors(path)[0]} == {"layer_0_0"}
            assert given.fresh == captured.fresh
            again, from_file = trained_network(space, tmp_path / "own.safetensors", seed=0)
            assert from_file.fresh == captured.fresh
            assert all(torch.equal(t, made.state_dict()[n]) for n, t in again.state_dict().items())
