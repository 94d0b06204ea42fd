"""Networks of one's own on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edgewidth.cli.main import exit_code

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Conv2d(32, 48, 3, padding=1), nn.Conv2d(48, 32, 1)

    def forward(self, x):
        return x + self.outer(self.inner(x).relu())

def grey(num_classes=4):
    return nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(32, num_classes))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A network with a residual connection, for grey images."""
    (tmp_path / "own_network.py").write_text(NETWORK)
    return f"{tmp_path}/own_network.py:grey"


def summary(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What ``edgewidth network --json`` prints."""
    assert exit_code(["network", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_network_of_ones_own_is_shown(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is by itself; arithmetic and parameters are counted by hand."""
    found = summary(capsys, own, "--resolution", "16")
    assert (found["network"], found["size"], found["in_channels"], found["outputs"]) == ("grey", [16, 16], 1, 4)
    layers = {variable["variable"]: set(variable["layers"]) for variable in found["variables"]}
    assert layers == {"w0": {"layer_0", "layer_1_outer"}, "w1": {"layer_1_inner"}}
    assert found["macs"] == 64 * (9 * 32 + 32 * 9 * 48 + 48 * 32) + 32 * 4
    assert found["parameters"] == (9 + 1) * 32 + (32 * 9 + 1) * 48 + (48 + 1) * 32 + (32 + 1) * 4
    assert found["configurations"] == len(found["variables"][0]["choices"]) * len(found["variables"][1]["choices"])
    assert [layer["layer"] for layer in found["layers"] if layer["fixed"]] == [found["layers"][-1]["layer"]]


def test_any_number_of_configurations_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also more than a floating-point number can say."""
    (tmp_path / "deep.py").write_text(
        "from torch import nn\n\ndef deep():\n"
        "    layers = [nn.Conv2d(64 if n else 1, 64, 1) for n in range(180)]\n"
        "    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))\n"
    )
    assert (
        exit_code(["network", f"{tmp_path}/deep.py:deep", "--resolution", "8", "--levels", "64", "--divisor", "1"]) == 0
    )
    # 180 width variables of 64 widths from 13 to 96: 64^180 = 2^1080.
    assert "180 width variables, 1.30e+325 configurations" in capsys.readouterr().out


def test_what_its_code_prints_is_no_part_of_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When a package is found, a file is imported, a network made and run."""
    (tmp_path / "talking").mkdir()
    (tmp_path / "talking" / "__init__.py").write_text("print('found')")
    talking = NETWORK.replace("return x +", "print('run', x.shape); return x +")
    (tmp_path / "talking" / "mine.py").write_text(f"print('imported')\n{talking}\nprint('made' and 'ready')")
    where = ["network", f"{tmp_path}/talking/mine.py:grey", "--resolution", "16"]
    for arguments in (["--json"], ["--format", "csv"]):
        assert exit_code([*where, *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith(("{", "layer,"))
        assert printed.err.count("imported") == printed.err.count("ready") == 1
        assert "run torch.Size([2, 32, 8, 8])" in printed.err
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        data = ["--data", "digits", "--out", str(tmp_path / "out"), "--budget", "5ms"]
        assert exit_code(["run", "--network", "talking.mine:missing", *data]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "found" in printed.err


BRANCHES = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.square, self.point = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)

    def forward(self, x):
        return (self.square(x) + self.point(x)).relu()

def branches():
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(16, 4))
"""


def test_branches_that_could_be_merged_are_told(tmp_path: Path, own: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error; of a residual network nothing is."""
    (tmp_path / "branches.py").write_text(BRANCHES)
    assert exit_code(["network", f"{tmp_path}/branches.py:branches", "--resolution", "16"]) == 0
    assert "branches adds up parallel convolutions, as in add," in " ".join(capsys.readouterr().err.split())
    assert exit_code(["network", own, "--resolution", "16"]) == 0
    assert "parallel" not in capsys.readouterr().err


def test_its_input_and_classes_are_those_of_the_images(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The digits are grey, of 32 pixels, and ten classes."""
    found = summary(capsys, own, "--data", "digits", "--fix", "layer_1_inner")
    assert (found["size"], found["outputs"], found["variables"][1]["choices"]) == ([32, 32], 10, [48])


def test_options_that_leave_nothing_to_search(own: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Are refused where widths are searched."""
    arguments = ["--network", own, "--device", "fake", "--fix", "w0", "--fix", "w1", "--out", str(tmp_path / "out")]
    assert exit_code(["profile", *arguments]) == 2
    assert "one configuration, 32-48: there is nothing to search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [("w0", "there is no value"), ("w0=1", "is no range"), ("w0=0:1", "is no range"), ("w0=0.5:1:2", "is no range")],
)
def test_ranges_that_are_none(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["network", "mobilenet_v1", "--range", text]) == 2
    assert message in capsys.readouterr().err


def test_it_is_profiled(own: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The table's space is the captured network's."""
    out = tmp_path / "out"
    arguments = ["--network", own, "--device", "fake", "--target-error", "20%", "--out", str(out), "--json"]
    assert exit_code(["profile", *arguments]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    table = json.loads((out / "table.json").read_text())
    assert outcome["exit_code"] == 0
    assert [variable["base"] for variable in table["space"]["variables"]] == [32, 48]
