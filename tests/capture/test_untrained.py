"""Whether a network was ever trained: batch normalisation tells, or calling its callable twice, or nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from edgewidth.capture.capture import capture, capture_named

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
from pathlib import Path

import torch
from torch import nn

CALLS = Path(__file__).with_name("calls")

def fresh(num_classes=4):
    with CALLS.open("a") as calls:
        calls.write("x")
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(8, num_classes))

def zeros():
    net = fresh()
    nn.init.zeros_(net[6].weight)
    nn.init.constant_(net[0].weight, 0.1)
    return net

ONCE = fresh()

def made_at_import():
    return ONCE

def loaded():
    net = fresh()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net

def new_head():
    net = loaded()
    net[6] = nn.Linear(8, 4)
    return net

def seeded():
    torch.manual_seed(3)
    return fresh()

def only_once():
    if len(CALLS.read_text()) > 1:
        raise RuntimeError("it was called before")
    return fresh()

def normalised(mean=0.0):
    net = fresh()
    net[1] = nn.BatchNorm2d(8)
    net[1].running_mean += mean
    return net

def normalised_and_trained():
    return normalised(0.5)

def tried(net=normalised):
    net = net()
    net[1] = nn.BatchNorm2d(8)
    net(torch.rand(2, 3, 16, 16))  # as networks do to see how long a flattened map is
    return net

def loaded_and_tried():
    return tried(loaded)

def trained_by_itself():
    net = tried(normalised)
    for _ in range(20):
        net(torch.rand(2, 3, 16, 16))
    return net
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of networks, one of which loads the weights that lie beside it."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    namespace = {"__file__": str(path)}
    exec(SOURCE, namespace)  # noqa: S102 - the text above
    network = namespace["fresh"]
    assert callable(network)
    torch.save(network().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "calls").unlink()
    return path


@pytest.mark.parametrize(
    ("name", "untrained"),
    [
        ("fresh", True),
        ("zeros", True),
        ("made_at_import", True),
        ("loaded", None),
        ("new_head", None),
        ("seeded", None),
        ("only_once", None),
        ("normalised", True),
        ("normalised_and_trained", False),
        ("tried", True),
        ("loaded_and_tried", False),
        ("trained_by_itself", False),
    ],
)
def test_weights_are_random_if_they_are_others_each_time(source: Path, name: str, *, untrained: bool | None) -> None:
    """All of them: a new head on what was loaded makes no untrained network. Batch normalisation tells by itself."""
    captured = capture_named(f"{source}:{name}", resolution=16, in_channels=3, num_classes=4)
    assert captured.is_untrained is untrained


def test_a_callable_is_called_again_only_where_that_is_to_be_known(source: Path) -> None:
    """It may take long."""

    def calls(name: str, *, trained: bool) -> int:
        source.with_name("calls").unlink(missing_ok=True)
        captured = capture_named(f"{source}:{name}", resolution=16, in_channels=3, num_classes=4, trained=trained)
        assert captured.weights
        return len(source.with_name("calls").read_text())

    # One more is made each time that the file is imported.
    assert calls("fresh", trained=False) == 2
    assert calls("fresh", trained=True) == 4
    assert calls("normalised", trained=True) == calls("trained_by_itself", trained=True) == 2


def test_of_a_program_and_of_a_module_nothing_is_known(tmp_path: Path) -> None:
    """They are taken to be trained."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    images = torch.zeros(2, 3, 16, 16)
    torch.export.save(torch.export.export(module, (images,)), tmp_path / "mine.pt2")
    program = capture_named(str(tmp_path / "mine.pt2"), resolution=16, in_channels=3, num_classes=4)
    for captured in (program, capture(module, images)):
        assert captured.is_untrained is None
