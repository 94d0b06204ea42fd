"""Weights that a network brings reach the training, for pixels as every network here takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewidth.cli.main import exit_code
from edgewidth.data.split import load_images
from edgewidth.errors import InputError
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.pretrained import trained_network

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
import torch
from torch import nn

def make():
    torch.manual_seed(7)
    convs = nn.Sequential(nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU())
    return nn.Sequential(convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))
"""
"""A network without batch normalisation and padding, trained or not."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the stage was called with."""
    found: dict[str, Any] = {}

    def train(space: Any, *_: Any, **options: Any) -> None:
        found.update(options, space=space)
        raise InputError("enough")

    monkeypatch.setattr("edgewidth.stages.train.train", train)
    return found


def arguments(folder: Path, *more: str) -> list[str]:
    (folder / "own.py").write_text(SOURCE)
    return ["train", "--network", f"{folder / 'own.py'}:make", "--out", str(folder / "out"), *more]


def test_the_network_that_is_brought_computes_what_the_module_did(tmp_path: Path, asked: dict[str, Any]) -> None:
    """With its own normalisation absorbed and batch normalisation put back."""
    assert exit_code(arguments(tmp_path, "--mean", "0.3", "--std", "0.2")) == 2
    assert asked["weights"] == tmp_path / "out" / "given.safetensors"
    space = asked["space"]
    assert all(layer.operator.normalised for layer in space.network.layers if len(layer.kernel) == 4)
    network, _ = trained_network(space, asked["weights"], seed=0)
    images = load_images("digits", resolution=32, seed=0).test.images[:16]
    namespace: dict[str, Any] = {}
    exec(SOURCE, namespace)  # noqa: S102 - the text above
    module: nn.Module = namespace["make"]()
    with torch.no_grad():
        expected = module((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.3) / 0.2)
    np.testing.assert_allclose(network_outputs(network, images), expected.numpy(), rtol=1e-3, atol=1e-4)


def test_weights_that_are_brought_follow_what_is_asked(tmp_path: Path, asked: dict[str, Any]) -> None:
    """The same again is the same, though torch draws most anew; another normalisation or other weights are others."""

    def brought(mean: str, seed: int = 1) -> bytes:
        words = arguments(tmp_path, "--mean", mean, "--std", "0.2")
        loaded = f"nn.init.normal_(convs[0].weight, generator=torch.Generator().manual_seed({seed}))"
        drawn = SOURCE.replace("torch.manual_seed(7)", "pass")
        (tmp_path / "own.py").write_text(drawn.replace("    return", f"    {loaded}\n    return"))
        assert exit_code(words) == 2
        content: bytes = asked["weights"].read_bytes()
        return content

    first = brought("0.3")
    torch.rand(3)
    assert brought("0.3") == first
    assert brought("0.3", seed=2) != first
    assert brought("0.5") != first
    assert brought("0.3") == first


def test_random_weights_are_to_be_had_even_so(tmp_path: Path, asked: dict[str, Any]) -> None:
    """And of a family there are no others."""
    assert exit_code(arguments(tmp_path, "--from-scratch")) == 2
    assert asked["weights"] is None
    assert exit_code(["train", "--out", str(tmp_path / "family")]) == 2
    assert asked["weights"] is None


NORMALISED = """
import torch
from torch import nn

def make(num_classes=10):
    net = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                        nn.Flatten(), nn.Linear(16, num_classes))
    net[1].running_mean += TRAINED
    return net
"""


def brought(folder: Path, asked: dict[str, Any], *, trained: float) -> bytes | None:
    """The weights that training begins with where a network with batch normalisation is given."""
    (folder / "normalised.py").write_text(NORMALISED.replace("TRAINED", str(trained)))
    assert exit_code(["train", "--network", f"{folder / 'normalised.py'}:make", "--out", str(folder / "out")]) == 2
    return None if asked["weights"] is None else asked["weights"].read_bytes()


def test_a_network_that_was_never_trained_begins_with_random_weights(
    tmp_path: Path, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its batch normalisation has never seen an image, which is said."""
    assert brought(tmp_path, asked, trained=0.0) is None
    assert "normalised.py:make was never trained" in capsys.readouterr().err
    words = ["--mean", "0.3", "--std", "0.2", "--out", str(tmp_path / "other")]
    assert exit_code(["train", "--network", f"{tmp_path / 'normalised.py'}:make", *words]) == 2
    assert "--mean and --std count only with trained weights" in capsys.readouterr().err
    assert brought(tmp_path, asked, trained=0.5) is not None
    assert "never trained" not in capsys.readouterr().err


def test_without_batch_normalisation_what_is_assumed_is_said(
    tmp_path: Path, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights each time may be trained ones; others each time are random."""
    words = arguments(tmp_path)
    assert exit_code(words) == 2
    assert asked["weights"] is not None
    assert "taken for trained ones. --from-scratch begins with random ones" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "own.py").write_text(SOURCE.replace("torch.manual_seed(7)", "pass"))
    assert exit_code(words) == 2
    assert asked["weights"] is None
    assert "was never trained" in capsys.readouterr().err


def test_features_are_no_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To which a normalisation of pixels would belong."""
    features, labels = np.random.default_rng(0).normal(size=(60, 9, 7, 1)).astype(np.float32), np.arange(60) % 3
    np.savez(tmp_path / "d.npz", x_train=features, y_train=labels, x_test=features, y_test=labels)
    words = arguments(tmp_path, "--data", str(tmp_path / "d.npz"), "--mean", "0.3", "--std", "0.2")
    assert exit_code(words) == 2
    assert "--mean and --std are of pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mean", "0.3"), "--mean and --std belong together"),
        (("--mean", "0.3", "--std", "dark"), "'dark' are not numbers"),
        (("--mean", "nan", "--std", "0.2"), "--mean: 'nan' are not numbers"),
        (("--mean", "-inf", "--std", "0.2"), "--mean: '-inf' are not numbers"),
        (("--mean", "0.3", "--std", "inf"), "--std: 'inf' are not numbers"),
        (("--mean", "0.3", "--std", "0"), "--std: '0' are not all above zero"),
        (("--mean", "0.3", "--std", "-0.2"), "--std: '-0.2' are not all above zero"),
        (("--mean", "0.3", "--std", "0.2", "--from-scratch"), "--from-scratch begins with random ones"),
        (("--mean", "0.3,0.3,0.3", "--std", "0.2,0.2,0.2"), "does not fit images of 1 channel"),
    ],
)
def test_a_normalisation_that_makes_no_sense_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: dict[str, Any], options: tuple[str, ...], message: str
) -> None:
    assert exit_code(arguments(tmp_path, *options)) == 2
    assert not asked
    assert message in capsys.readouterr().err


def test_a_family_brings_no_weights_for_a_normalisation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: dict[str, Any]
) -> None:
    assert exit_code(["train", "--mean", "0.3", "--std", "0.2", "--out", str(tmp_path / "out")]) == 2
    assert not asked
    assert "mobilenet_v1 brings none" in capsys.readouterr().err
