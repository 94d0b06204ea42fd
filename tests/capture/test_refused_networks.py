"""Networks that cannot be taken are refused in one clear message that says where and what to do."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from own_networks import CHANNELS, SIZE
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.capture.archive import load_program
from edgewidth.capture.capture import Captured, capture, capture_named
from edgewidth.cli.main import exit_code
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = torch.zeros(2, 3, SIZE, SIZE)
NETWORK = """
from torch import nn

def network(num_classes=7):
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, num_classes))

def fails():
    raise ValueError("no weights here")

def nothing():
    return {"state_dict": {}}

def choosy(depth):
    return network()

def leaves():
    raise SystemExit

value = 3
"""
SCRIPT = """
import argparse

arguments = argparse.ArgumentParser()
arguments.add_argument("--epochs", type=int)
arguments = arguments.parse_args(["network", "script.py:network"])
"""
"""A file that is run, and reads arguments wherever it is imported: edgewidth's."""


def small(*layers: nn.Module) -> nn.Module:
    """A network with something in it."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 4))
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3), *layers, head)


def named(text: str, **options: Any) -> Captured:
    """What a text names, for images of 16 pixels in colour and 7 classes."""
    return capture_named(text, **({"resolution": SIZE, "in_channels": 3, "num_classes": 7} | options))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``mine.py``, the current one."""
    (tmp_path / "mine.py").write_text(NETWORK)
    (tmp_path / "broken.py").write_text("import torch\nnetwork = torch.nn.Conv3(\n")
    (tmp_path / "script.py").write_text(SCRIPT + NETWORK)
    packages = {
        "leaving": SCRIPT,
        "raising": "raise RuntimeError('no licence')",
        "lacking": "import no_such_library_of_theirs",
        "whole": "from .mine import network",
    }
    for package, content in packages.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(content)
        (tmp_path / package / "mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("missing.py:network", "missing.py is not there", "file.py:callable"),
        ("missing.pt2", "missing.pt2 is not there", "torch.export.save"),
        ("broken.py:network", "broken.py:network raises SyntaxError", "by itself"),
        ("no_such_package_of_mine:network", "no package no_such_package_of_mine", "file.py:callable"),
        ("mine.py:missing", "mine.py has no missing", "network, fails, nothing, choosy, leaves"),
        ("mine.py:value", "mine.py has no callable value", "network, fails"),
        ("mine.py:two words", "names no network", "file.py:callable"),
        ("mine.py:nothing", "gives a dict, and not a torch.nn.Module", "the network itself"),
        ("mine.py:choosy", "missing a required argument: 'depth'", "needs nothing"),
        ("script.py:network", r"ends the program .* SystemExit: 2\n  .*script.py:6  arguments = ", "__name__ =="),
        ("mine.py:leaves", r"ends the program .* SystemExit\.", "__name__ =="),
        ("leaving.mine:network", r"ends the program .* SystemExit: 2", "__name__ =="),
        ("raising.mine:network", "raises RuntimeError: no licence", "by itself"),
        ("lacking.mine:network", "ModuleNotFoundError: No module named 'no_such_library_of_theirs'", "by itself"),
        ("whole.missing:network", "no package whole.missing", "file.py:callable"),
        (".mine:network", r"no package \.mine", "file.py:callable"),
        ("whole/__init__.py:network", "attempted relative import", "package.module:callable"),
        ("weights.pt", "does not safely say what network it is", "weights_only=True"),
        ("weights.pth", "does not safely say what network it is", "torch.export.save"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_names_of_no_network(text: str, message: str, remedy: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        named(text)
    assert remedy in str(caught.value.remedy)


@pytest.mark.usefixtures("folder")
def test_a_package_of_the_current_folder_is_found() -> None:
    """As Python finds it with ``-m``: the command line itself lies elsewhere."""
    assert named("whole.mine:network").network.outputs == named("whole:network").network.outputs == 7


@pytest.mark.usefixtures("folder")
def test_what_the_users_code_raises_is_told_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["network", "mine.py:fails"]) == 2
    said = capsys.readouterr().err
    assert "ValueError: no weights here" in said
    assert 'mine.py:9  raise ValueError("no weights here")' in said
    assert "load.py" not in said


class Deciding(nn.Module):
    """What it does depends on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """A vector, or its negative."""
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


class Two(nn.Module):
    """Two inputs."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Their sum."""
        return x + y


class Giving(nn.Module):
    """Something of the pooled input."""

    def __init__(self, made: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Any:
        """Whatever that is."""
        return self.made(x.mean((2, 3)))


class Remembering(nn.Module):
    """What it gives depends on how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """A vector that grows."""
        self.calls.add_(1)
        return x.mean((2, 3)) * self.calls


class Positions(nn.Module):
    """A trained number for every element of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.rand(1, CHANNELS, 14, 14))

    def forward(self, x: Tensor) -> Tensor:
        """Shifted."""
        return x + self.numbers


class Places(nn.Module):
    """The greatest pixel of every channel, and where it is."""

    def forward(self, x: Tensor) -> Tensor:
        """Both in one number."""
        greatest, place = functional.adaptive_max_pool2d(x, 1, return_indices=True)
        return greatest + place


def with_nan() -> nn.Module:
    """A network of which one weight is none."""
    module = small(nn.Conv2d(CHANNELS, CHANNELS, 1))
    with torch.no_grad():
        module[1].weight[0] = torch.nan  # type: ignore[index]
    return module


def with_computed_weights() -> nn.Module:
    """A network that holds the result of a computation."""
    module = small()
    module.scale = module[0].weight * 2  # type: ignore[index]
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Deciding(), "torch.export cannot capture Deciding: .*data-dependent"),
        (Two(), "takes 2 inputs: x, y"),
        (Giving(lambda x: (x, x)), "gives 2 outputs in a tuple"),
        (Giving(lambda x: x.tolist()), "gives 2 outputs in a list"),
        (Giving(lambda x: x.sum(1)), r"shape \(2,\) for 2 images, which is no batch of logits"),
        (nn.Conv2d(3, 4, 1), "no batch of logits"),
        (Giving(lambda _: torch.ones(2, 3)), "gives outputs that do not depend on its input"),
        (with_computed_weights(), "cannot be copied; it raises RuntimeError"),
        (with_nan(), "no finite numbers, in 1.weight"),
        (small(nn.MaxPool2d(20)), "cannot take images of 16×16 pixels with 3 channel"),
        (nn.Conv2d(4, 4, 1), "cannot take images of 16×16 pixels with 3 channel"),
        (small(nn.Mish()), r"aten.mish.default, which edgewidth does not know, in 1 \(Mish\)"),
        (small(nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, dilation=2)), "both a stride and a dilation"),
        (small(nn.AdaptiveAvgPool2d(5)), "windows that overlap"),
        (Giving(lambda x: torch.softmax(x, 1)), "softmax.int, which edgewidth does not know"),
        (Giving(lambda x: functional.linear(x, x)), "aten.linear.default with weights that it computes from its input"),
        (Giving(lambda x: functional.linear(torch.ones(2, 3), x)), "with weights that it computes from its input"),
        (Giving(lambda x: x + torch.randn(3)), "aten.randn.default, which gives something else each time"),
        (Giving(lambda x: x.int().float()), "makes a tensor of type torch.int32"),
        (Giving(lambda x: torch.arange(1, 4) / x), "with a tensor to divide by"),
        (Giving(lambda x: torch.cat([x[:, 2:2], x], 1)), "takes no channels of a tensor"),
        (small(nn.CircularPad2d(1)), "otherwise than with zeros around a map"),
        (small(nn.ConstantPad2d(1, 0.5)), "otherwise than with zeros around a map"),
        (small(nn.ZeroPad2d(-1)), "otherwise than with zeros around a map"),
        (Giving(lambda x: functional.pad(x, (1, 2))), "otherwise than with zeros around a map"),
        (Giving(lambda x: functional.pad(x, (0, 0, 0, 0))), "otherwise than with zeros around a map"),
        (nn.Sequential(nn.LazyConv2d(4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "lazy layers .* such as 0"),
        (small(nn.LazyBatchNorm2d(affine=False)), "lazy layers .* such as 1"),
        (small(nn.LeakyReLU(-0.1)), r"does not know: slope: Input should be greater.* in 1 \(LeakyReLU\)"),
        (Remembering(), "changes calls each time that it is called, and what it gives depends on that"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.PReLU(1568), nn.Linear(1568, 4)),
            "1568 slopes for a flattened map of 8 channels",
        ),
        (small(Places()), "reads result 2 of aten.adaptive_max_pool2d.default, which edgewidth does not know"),
        (small(Positions()), r"constant of shape \(1, 8, 14, 14\), which is not one number for each channel"),
    ],
)
def test_modules_that_cannot_be_captured(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        capture(module, IMAGES)
    assert caught.value.remedy
    assert "/torch/" not in caught.value.message


def test_an_unknown_operator_names_the_line_that_called_it() -> None:
    with pytest.raises(InputError, match=r"aten.sin.default.* in the network itself \(Giving\)") as caught:
        capture(Giving(torch.sin), IMAGES)
    assert f"{Path(__file__).name}:" in caught.value.message
    assert "return self.made(x.mean((2, 3)))" in caught.value.message


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        (Giving(lambda x: functional.log_softmax(x, 1)), "return what it reads, the logits"),
        (Giving(lambda x: functional.softmax(x, 1)), "return what it reads, the logits"),
        (Giving(functional.dropout), "self.training"),
        (small(nn.BatchNorm2d(CHANNELS, track_running_stats=False)), "track_running_stats"),
        (Giving(torch.sin), "what edgewidth knows"),
    ],
)
def test_what_often_stands_in_networks_has_a_remedy_of_its_own(module: nn.Module, remedy: str) -> None:
    with pytest.raises(InputError, match="which edgewidth does not know") as caught:
        capture(module, IMAGES)
    assert remedy in str(caught.value.remedy)


@pytest.mark.usefixtures("folder")
def test_a_callable_is_told_how_many_classes_there_are() -> None:
    """And where it takes no number, the last layer begins anew."""
    assert named("mine.py:network", num_classes=5).network.outputs == 5
    captured = capture(small(), IMAGES, outputs=9)
    assert (captured.network.outputs, captured.fresh) == (9, ("layer_1_2",))
    assert not [name for name in captured.weights if "layer_1_2" in name]


class Both(nn.Module):
    """Two linear layers side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Sixteen numbers."""
        y = x.mean((2, 3))
        return torch.cat([self.first(y), self.second(y)], 1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Both(), "several layers give them"),
        (
            nn.Sequential(nn.Conv2d(3, 6, 1, groups=3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "layer_0 makes 2 channels",
        ),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "these are the channels of the images"),
    ],
)
def test_outputs_whose_number_cannot_be_changed(module: nn.Module, reason: str) -> None:
    with pytest.raises(InputError, match=f"and 5 are needed; .*{reason}"):
        capture(module, IMAGES, outputs=5)


def test_nothing_searchable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fixed.py").write_text(NETWORK.replace("nn.Conv2d(3, 8, 3, 2, 1)", "nn.Conv2d(3, 9, 3, 2, 1, groups=3)"))
    (folder / "fixed.py").write_text((folder / "fixed.py").read_text().replace("nn.Linear(8", "nn.Linear(9"))
    assert exit_code(["network", "fixed.py:network"]) == 2
    assert "No width of network can vary" in capsys.readouterr().err


class Marks:
    """Unpickling it leaves a file, as whatever an archive says would be done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def program(path: Path, **options: Any) -> Path:
    """A program as ``torch.export.save`` writes it."""
    torch.export.save(torch.export.export(small().eval(), (IMAGES,), **options), path)
    return path


def changed(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """The same archive with other members, and with more of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    folder = next(iter(members)).partition("/")[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (members | {f"{folder}/{name}": content for name, content in more.items()}).items():
            archive.writestr(name, content)
    return path


def pickled(thing: object) -> bytes:
    """As torch.save writes it."""
    stream = io.BytesIO()
    torch.save(thing, stream)
    return stream.getvalue()


def test_a_program_is_loaded_without_unpickling_anything(tmp_path: Path) -> None:
    """Its samples are pickled always: they could be anything, and are not looked at."""
    mark, path = tmp_path / "mark", program(tmp_path / "network.pt2")
    evil = pickled((Marks(mark),))
    changed(path, lambda name, content: evil if "sample_inputs" in name else content)
    captured = capture_named(str(path), resolution=SIZE, in_channels=3, num_classes=4)
    assert captured.network.outputs == 4
    assert not mark.exists()
    with zipfile.ZipFile(path) as archive:
        samples = next(name for name in archive.namelist() if "sample_inputs" in name)
        torch.load(io.BytesIO(archive.read(samples)), weights_only=False)
    assert mark.exists()  # or the test would prove nothing


OPAQUE = b'{"path_name": "opaque_obj_0", "is_param": false, "use_pickle": true, "tensor_meta": null}'


@pytest.mark.parametrize(
    ("member", "old", "new", "message"),
    [
        ("weights_config.json", b'"use_pickle": false', b'"use_pickle": true', "holds something pickled"),
        ("weights_config.json", b'"weight_0"', b'"../extra/evil"', "holds something pickled"),
        ("constants_config.json", b'"config": {', b'"config": {"a": ' + OPAQUE, "holds something pickled"),
        ("model.json", b'{"as_int": 3}', b'{"as_expr": {"expr_str": "print(1)", "hint": null}}', "no formula"),
        ("model.json", b'{"as_int": 3}', b'{"as_expr": {"expr_str": "().__class__", "hint": null}}', "no formula"),
        ("model.json", b'"torch_version": "', b'"torch_version": "1.', "torch 1.* wrote it"),
        ("model.json", b"{", b"", "no program that torch.export.save wrote"),
    ],
)
def test_archives_that_are_refused(tmp_path: Path, member: str, old: bytes, new: bytes, message: str) -> None:
    path = program(tmp_path / "network.pt2")

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(member):
            return content
        assert old in content
        content = content.replace(old, new, 1)
        return content.replace(b'"major": 8', b'"major": 99') if b"torch_version" in old else content

    with pytest.raises(InputError, match=message) as caught:
        load_program(changed(path, change))
    assert caught.value.remedy


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    """Text, a pickle, and weights that torch.save wrote."""
    for content in (b"network", pickle.dumps([1]), pickled({"weight": torch.zeros(2)})):
        (tmp_path / "network.pt2").write_bytes(content)
        with pytest.raises(InputError, match=r"network\.pt2 is no program that torch.export.save wrote"):
            load_program(tmp_path / "network.pt2")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"resolution": 32}, "of 16×16 pixels with 3 channel.* of 32×32 with 3"), ({"in_channels": 1}, "with 1")],
)
def test_programs_for_other_images(tmp_path: Path, options: dict[str, int], message: str) -> None:
    path = program(tmp_path / "network.pt2")
    with pytest.raises(InputError, match=message):
        named(str(path), **options)


def test_a_program_of_training_is_refused(tmp_path: Path) -> None:
    """It normalises by the batch at hand: whoever exported it left eval() out."""
    module = small(nn.BatchNorm2d(CHANNELS)).train()
    torch.export.save(torch.export.export(module, (IMAGES,)), tmp_path / "network.pt2")
    with pytest.raises(InputError, match=r"changes 1\.running_mean each time") as caught:
        named(str(tmp_path / "network.pt2"))
    assert "eval()" in str(caught.value.remedy)


def test_programs_of_varying_size_are_captured_for_one(tmp_path: Path) -> None:
    vary = torch.export.Dim.DYNAMIC
    path = program(tmp_path / "network.pt2", dynamic_shapes=({0: vary, 2: vary, 3: vary},))
    for resolution in (16, 40):
        network = capture_named(str(path), resolution=resolution, in_channels=3, num_classes=4).network
        assert network.layers[0].output.size == (resolution - 2, resolution - 2)
    assert named(str(path), resolution=None).network.resolution == 224
