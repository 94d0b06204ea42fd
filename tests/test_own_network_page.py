"""What docs/own-network.md shows works: its modules are captured, and its command prints what stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from own_networks import logit_error, randomised
from torch import nn

from edgewidth.capture.capture import Captured, capture_named
from edgewidth.cli.main import exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[1] / "docs" / "own-network.md").read_text(encoding="utf-8")
PROGRAMS = dict(zip(("mine", "trained"), re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), strict=True))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the page's programs under the names that it gives them."""
    for name, program in PROGRAMS.items():
        assert f"`{name}.py`" in PAGE
        (tmp_path / f"{name}.py").write_text(program)
        sys.modules.pop(name, None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in PROGRAMS:
        sys.modules.pop(name, None)


def named(text: str) -> Captured:
    """A network for the digits."""
    return capture_named(text, resolution=32, in_channels=1, num_classes=10)


def test_the_command_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word, but for blanks at the ends of lines."""
    assert exit_code(["network", "mine.py:network", "--data", "digits"]) == 0
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    [shown] = re.findall(r"```\n( width variable.*?)```", PAGE, re.DOTALL)
    assert shown in printed + "\n"
    assert "31 layers" in printed


def test_features_are_taken_by_the_same_network(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the shape that the page says."""
    features, labels = np.random.default_rng(0).normal(size=(60, 49, 10)).astype(np.float32), np.arange(60) % 3
    np.savez("words.npz", x_train=features, y_train=labels, x_test=features, y_test=labels)
    command = "network mine.py:network --data words.npz"
    assert f"`edgewidth {command}`" in PAGE
    assert exit_code(command.split()) == 0
    assert "49×10 pixels with 1 channel(s), 3 outputs" in capsys.readouterr().out


def test_the_trained_network_is_what_the_checkpoint_holds() -> None:
    """Which the page loads; the module that it comes from is never trained, and this one is."""
    torch.manual_seed(2)
    assert named("mine.py:network").is_untrained
    module: nn.Module = sys.modules["mine"].network().eval()
    randomised(module)
    torch.save(module.state_dict(), "checkpoint.pth")
    captured = named("trained.py:network")
    assert not captured.is_untrained
    assert logit_error(module, captured, torch.randn(3, 1, 32, 32)) < 1e-5
