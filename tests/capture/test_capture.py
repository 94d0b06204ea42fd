"""Captured networks compute what torch computes, and know which of their channels are the same."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
import torch
from own_networks import CLASSES, SIZE, WAYS, Several, logit_error, masked, randomised, sliced
from support import require
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.capture import agreement
from edgewidth.capture.aten import TABLE
from edgewidth.capture.capture import Captured, capture, capture_named
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NETWORKS = {
    "resnet20_cifar10": 32,
    "mobilenetv3_small_w1": 64,
    "shufflenetv2_w1": 64,
    "squeezenet_v1_1": 64,
}
"""Networks that nobody here wrote, each with the pixels of its images."""
TOGETHER = 11


@pytest.mark.parametrize("ways", [list(WAYS)[i : i + TOGETHER] for i in range(0, len(WAYS), TOGETHER)])
def test_captured_networks_compute_what_torch_computes(ways: Sequence[str]) -> None:
    """For every way of writing something, against torch itself."""
    torch.manual_seed(1)
    module, images = Several(ways), torch.randn(3, 3, SIZE, SIZE)
    module(images)
    randomised(module)
    captured = capture(module, images)
    assert captured.network.outputs == CLASSES
    assert logit_error(module, captured, images) < 1e-5
    check_left_out(module, captured, images)


class Turned(nn.Module):
    """Layers that share one tensor, of which each reads it otherwise: turned over, mirrored, or a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.matrix = nn.Parameter(torch.randn(3, 3, 3, 3)), nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, one layer's beside another's."""
        views = self.kernel, self.kernel.transpose(2, 3), self.kernel.transpose(0, 1), self.kernel.flip(3)
        maps = torch.cat([functional.conv2d(x, kernel) for kernel in views], 1)
        y = functional.linear(maps.mean((2, 3)), self.matrix.reshape(3, 12))
        y = torch.cat([y, functional.relu(y)], 1)
        matrices = self.matrix, self.matrix.t(), self.matrix[:3], self.matrix[::2], self.matrix.t()[3:]
        return torch.cat([functional.linear(y, matrix) for matrix in matrices], 1)


def test_layers_that_share_a_tensor_are_the_same_only_if_they_read_it_alike() -> None:
    """A kernel beside its transpose is another layer; the same one again is not."""
    torch.manual_seed(0)
    module, images = Turned(), torch.randn(3, 3, SIZE, SIZE)
    captured = capture(module, images)
    assert logit_error(module, captured, images) < 1e-5
    assert len([layer for layer in captured.network.layers if layer.kernel]) == 4 + 1 + 5


@pytest.mark.parametrize("operator", ["aten.relu.default", "aten.mul.Tensor"])
@pytest.mark.parametrize("outputs", [CLASSES, CLASSES + 2])
def test_a_network_that_was_captured_wrongly_is_refused(
    operator: str, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong: here an operator is passed over. Also where the last layer is to begin anew."""
    module, images = nn.Sequential(nn.Conv2d(3, 8, 3), Scaled(), nn.Linear(8, CLASSES)), torch.zeros(2, 3, SIZE, SIZE)
    assert capture(module, images, outputs=outputs).network.outputs == outputs
    monkeypatch.setitem(TABLE, operator, lambda _, __, x, *___: x)
    with pytest.raises(InputError, match="was captured as another network") as caught:
        capture(module, images, outputs=outputs)
    assert "defect" in str(caught.value.remedy)


class Scaled(nn.Module):
    """A third of the means of all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """A vector."""
        return functional.relu(x).mean((2, 3)) * 0.33


def test_rounding_is_no_other_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a network makes of it; without the tolerance, all are taken to make much of it."""
    monkeypatch.setattr(agreement, "TOLERANCE", 0.0)
    monkeypatch.setattr(agreement, "ROUNDING", 0.0)
    module, images = Several(["numbers of a vector", "squeeze and excite", "dilation"]), torch.randn(3, 3, SIZE, SIZE)
    module(images)
    assert capture(randomised(module), images).fresh == ()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_programs_of_another_precision_are_taken(dtype: torch.dtype, tmp_path: Path) -> None:
    """Those that compute in half of it tell nothing of rounding."""
    module = nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(6)), Scaled(), nn.Linear(3, CLASSES)).to(dtype)
    images = torch.zeros(2, 3, SIZE, SIZE)
    torch.export.save(torch.export.export(module.eval(), (images.to(dtype),)), tmp_path / "mine.pt2")
    captured = capture_named(str(tmp_path / "mine.pt2"), resolution=SIZE, in_channels=3, num_classes=CLASSES)
    assert logit_error(module.float(), captured, torch.randn_like(images)) < 1e-5


def check_left_out(module: nn.Module, captured: Captured, images: Tensor) -> None:
    """The first channels of every variable by slicing weights, against the module whose layers read zeros instead."""
    pairs = zip(captured.network.variables, captured.base_widths, strict=True)
    narrow = {name: max(1, base * (2 + place % 3) // 5) for place, (name, base) in enumerate(pairs)}
    expected = masked(module, captured, narrow, images)
    assert (sliced(captured, narrow, images) - expected).abs().max() < 1e-4 * (expected.max() - expected.min())


def foreign(name: str) -> tuple[nn.Module, Tensor]:
    """A network of pytorchcv with random statistics, and images for it."""
    require(importlib.util.find_spec("pytorchcv"), "pytorchcv")
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    module: Any = get_model(name)
    features = module.features
    if hasattr(features, "final_pool"):
        features.final_pool = nn.AdaptiveAvgPool2d(1)
    if name.startswith("squeezenet"):
        module.output.final_pool = nn.AdaptiveAvgPool2d(1)
    return randomised(module), torch.rand(2, 3, NETWORKS[name], NETWORKS[name])


@pytest.fixture(scope="module", params=NETWORKS)
def others(request: pytest.FixtureRequest) -> tuple[nn.Module, Captured, Tensor]:
    """A network that nobody here wrote, and what was captured of it."""
    module, images = foreign(request.param)
    return module, capture(module, images, name=request.param), images


def test_networks_that_nobody_here_wrote_are_reproduced(others: tuple[nn.Module, Captured, Tensor]) -> None:
    module, captured, images = others
    assert logit_error(module, captured, images) < 1e-4


def test_the_same_channels_are_those_that_torch_pruning_finds(others: tuple[nn.Module, Captured, Tensor]) -> None:
    require(importlib.util.find_spec("torch_pruning"), "torch-pruning")
    from pruning_groups import own_groups, pruning_groups

    module, captured, images = others
    groups = own_groups(captured)
    assert len(groups) == len(captured.network.variables)
    assert pruning_groups(module, captured, images) == groups


def test_channels_can_be_left_out(others: tuple[nn.Module, Captured, Tensor]) -> None:
    check_left_out(*others)
