"""Networks of libraries: stand-ins for these show what is asked of them, and what becomes of it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewidth.capture.capture import capture_named
from edgewidth.cli.main import exit_code
from edgewidth.data.split import load_images
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.pretrained import trained_network

if TYPE_CHECKING:
    from pathlib import Path

MEAN, STD = (0.3, 0.4, 0.5), (0.2, 0.25, 0.3)
PUBLISHED_CLASSES = 10


class Small(nn.Module):
    """With batch normalisation, trained or not."""

    transform_input = False
    """Whether it turns ``MEAN`` and ``STD`` into 0.5 and 0.5, as torchvision's Inceptions do with ImageNet's."""

    def __init__(self, num_classes: int = PUBLISHED_CLASSES, *, trained: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, num_classes)
        self.pretrained_cfg = {"mean": MEAN, "std": STD}
        norm = self.stem[1]
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        if trained:
            norm.running_mean += torch.linspace(-1, 1, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        if self.transform_input:
            mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
            x = torch.stack([(one * std + mean - 0.5) / 0.5 for one in x])
        out: torch.Tensor = self.head(self.stem(x).mean((2, 3)))
        return out


def no_download() -> None:
    """What a library does without a network."""
    raise OSError("no network\nand more of that")


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand-ins for both, and under ``module`` the last network that one of them made."""
    made: dict[str, Any] = {"online": True, "transforms": False}

    def make(name: str, *, trained: bool, **classes: int) -> nn.Module:
        assert name in {"small_one", "small_one.tag"}
        if trained and not made["online"]:
            no_download()
        torch.manual_seed(3)
        made["module"] = Small(trained=trained, **classes)
        made["module"].transform_input = trained and made["transforms"]
        return made["module"]  # type: ignore[no-any-return]

    timm = ModuleType("timm")
    timm.__dict__.update(
        list_models=lambda: ["small_one", "small_two"],
        is_model=lambda name: name.partition(".")[0] in {"small_one", "small_two"},
        create_model=lambda name, pretrained=False, **more: make(name, trained=pretrained, **more),
    )
    models, torchvision = ModuleType("torchvision.models"), ModuleType("torchvision")
    weights = SimpleNamespace(transforms=lambda: SimpleNamespace(mean=list(MEAN), std=list(STD)))
    models.__dict__.update(
        list_models=lambda module: ["small_one"] if module is models else ["small_one", "segments"],
        get_model_weights=lambda name: SimpleNamespace(DEFAULT=weights) if name == "small_one" else None,
        get_model=lambda name, weights=None, **more: make(name, trained=weights is not None, **more),
    )
    torchvision.__dict__.update(models=models)
    for name, module in (("timm", timm), ("torchvision", torchvision), ("torchvision.models", models)):
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An .npz of small images of seven classes."""
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 256, (280, 12, 12, 3), generator=rng, dtype=torch.uint8).numpy()
    labels = torch.arange(280).numpy() % 7
    np.savez(tmp_path / "d.npz", x_train=drawn, y_train=labels, x_test=drawn[:70], y_test=labels[:70])
    return tmp_path / "d.npz"


@pytest.mark.parametrize(
    ("name", "transforms"),
    [
        ("timm:small_one", False),
        ("timm:small_one.tag", False),
        ("torchvision:small_one", False),
        ("torchvision:small_one", True),
    ],
)
def test_trained_weights_arrive_for_plain_pixels(
    name: str,
    transforms: bool,
    libraries: dict[str, Any],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own normalisation is taken; against its module, but for the head, whose classes are others."""
    libraries["transforms"] = transforms
    found: dict[str, Any] = {}
    monkeypatch.setattr("edgewidth.stages.train.train", lambda space, *_, **options: found.update(options, space=space))
    monkeypatch.setattr("edgewidth.cli.train.print_losses", lambda *_: None)
    monkeypatch.setattr("edgewidth.cli.train.print_result", lambda *_, **__: None)
    assert exit_code(["train", "--network", name, "--data", str(images), "--out", str(tmp_path / "out")]) == 0
    network, given = trained_network(found["space"], found["weights"], seed=0)
    module = libraries["module"].eval()
    module.transform_input = transforms
    assert given.fresh == (network.space.network.layers[-1].name,)
    head = network.layers.get_submodule(given.fresh[0])
    with torch.no_grad():
        module.head = nn.Linear(16, 7)
        for key, tensor in (("kernel", module.head.weight), ("shift", module.head.bias)):
            head.get_parameter(key).copy_(tensor)
        pixels = load_images(str(images), resolution=None, seed=0).test.images[:9]
        given_pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
        expected = module((given_pixels - mean) / std)
    found_logits = torch.from_numpy(network_outputs(network, pixels))
    torch.testing.assert_close(found_logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["timm:small_one", "torchvision:small_one"])
def test_what_a_network_is_made_of_needs_no_weights(name: str, libraries: dict[str, Any]) -> None:
    libraries["online"] = False
    captured = capture_named(name, resolution=16, in_channels=None, num_classes=5, trained=False)
    assert (captured.network.outputs, captured.is_untrained, captured.normalisation) == (5, True, None)
    assert exit_code(["network", name, "--resolution", "16"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (("network", "timm:small_oen"), 2, ("timm has no network 'small_oen'", "It has small_one, small_two.")),
        (("network", "torchvision:segments"), 2, ("torchvision has no network 'segments'",)),
        (("network", "timm:"), 2, ("timm has no network ''", "Look at the names that timm lists.")),
        (("train",), 3, ("weights of timm:small_one cannot be had: OSError: no network\n  →", "--from-scratch")),
    ],
)
def test_what_cannot_be_had_is_said(
    libraries: dict[str, Any],
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    messages: tuple[str, ...],
) -> None:
    libraries["online"] = False
    if words == ("train",):
        words = ("train", "--network", "timm:small_one", "--data", str(images), "--out", str(tmp_path / "out"))
    assert exit_code(list(words)) == code
    told = capsys.readouterr().err
    assert all(message in told for message in messages), told


def test_a_library_is_not_asked_for_weights_where_others_are_given(
    libraries: dict[str, Any], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr("edgewidth.stages.train.train", lambda *_, **options: found.update(options))
    monkeypatch.setattr("edgewidth.cli.train.print_losses", lambda *_: None)
    monkeypatch.setattr("edgewidth.cli.train.print_result", lambda *_, **__: None)
    words = ["train", "--network", "timm:small_one", "--data", str(images), "--out"]
    assert exit_code([*words, str(tmp_path / "first")]) == 0
    libraries["online"] = False
    words += [str(tmp_path / "second"), "--weights", str(found["weights"]), "--mean", "0.5,0.5,0.5", "--std", "1,1,1"]
    assert exit_code(words) == 0
    assert found["weights"] == tmp_path / "second" / "given.safetensors"


def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert exit_code(["network", "timm:resnet18"]) == 3
    assert "needs the package timm, which is not installed" in capsys.readouterr().err


def test_a_library_for_another_torch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What pip installs beside a torch without GPUs may be one that was built for another."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert exit_code(["network", "torchvision:resnet18"]) == 3
    told = capsys.readouterr().err
    assert "torchvision, which cannot be imported; it raises RuntimeError: operator torchvision::nms" in told
    assert "of releases that fit your torch" in told
