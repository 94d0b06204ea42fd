"""Bad input gets one message that says what is wrong, and the contract's exit code; never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report import sample
from small_table import small_table

from edgewidth.cli.main import exit_code
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.families.registry import search_space
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import FormatName

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.stages.folder import RunFolder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("budget", ["0ms", "-3ms", "8", "fast", "60 %x", "", "ms", "1e3ms", "nanms", "-60%"])
def test_a_budget_that_is_none_is_refused(budget: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert exit_code(["run", f"--budget={budget}", "--out", str(tmp_path / "out")]) == 2
    assert "is not a budget" in said(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "raspberry-pi-9"], "raspberry-pi-4b"),
        (["--network", "resnet"], "mobilenet_v1, mobilenet_v2"),
        (["--runtime", "caffe"], "litert"),
        (["--runtime", "benchmark_model"], "does not offer"),
        (["--statistic", "mean"], "p95"),
        (["--precision", "int4"], "int8"),
        (["--resolution", "7"], "8 to 1024 pixels"),
        (["--resolution", "96x1025"], "96×1025 does not fit"),
        (["--resolution", "96x"], "is no size of images"),
        (["--resolution", "9" * 5000], "is no size of images"),
        (["--resolution", "96x" + "9" * 5000], "is no size of images"),
        (["--resolution", "-5"], "is no size of images"),
        (["--resolution", "1025"], "8 to 1024 pixels"),
        (["--min-width", "2"], "are no range"),
        (["--threads", "0"], "threads"),
        (["--time-budget", "10"], "10m"),
        (["--target-error", "3"], "3%"),
        (["--set", "threads"], "--set key=value"),
        (["--set", "colour=red"], "colour"),
        (["--data", "no/such/folder"], "does not exist"),
        (["--min-width", "nan"], "are no range"),
        (["--max-width", "inf"], "are no range"),
        (["--narrow", "--final-temperature", "nan"], "not a finite number"),
        (["--narrow", "--final-temperature", "inf"], "not in the range"),
        (["--narrow", "--narrow-after", "nan%"], "not a percentage"),
        (["--learning-rate", "nan"], "not a finite number"),
        (["--learning-rate", "inf"], "not a finite number"),
        (["--learning-rate", "0"], "not in the range"),
        (["--target-error", "9" * 400 + "%"], "not a percentage"),
        (["--max-int8-drop", "inf%"], "not a percentage"),
        (["--time-budget", "nans"], "not a duration"),
        (["--time-budget", "9" * 400 + "h"], "not a duration"),
        (["--max-size", "nanMB"], "not an amount"),
        (["--set", "cool_down_c=nan"], "cool_down_c"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert exit_code(["run", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in said(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("widths", ["--levels 1", "--min-width 1 --max-width 1", "--min-width 0.2 --max-width 0.25"])
@pytest.mark.parametrize("verb", ["run --device fake", "profile --device fake", "train"])
def test_one_configuration_leaves_nothing_to_search(
    verb: str, widths: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is refused before anything is measured or trained, and finetune, which trains one, takes it."""
    out = ["--out", str(tmp_path / "out")]
    assert exit_code([*verb.split(), *widths.split(), *out]) == 2
    assert "one configuration" in (told := said(capsys))
    assert "edgewidth finetune trains that one network by its --config" in told
    assert not (tmp_path / "out").exists()
    assert exit_code(["finetune", "--config", "8", *widths.split(), *out]) == 2
    assert "has 1 widths" in said(capsys)


@pytest.mark.parametrize(
    ("verb", "option", "value", "lacking"),
    [
        ("train", "--budget", "60%", "--table"),
        ("train", "--narrow-after", "40%", "--table"),
        ("train", "--final-temperature", "0.1", "--table"),
        ("run", "--narrow-after", "40%", "--narrow"),
        ("run", "--final-temperature", "0.1", "--narrow"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    verb: str, option: str, value: str, lacking: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its default alone is none that was given."""
    assert exit_code([verb, option, value, "--out", str(tmp_path / "out")]) == 2
    assert f"{option} counts only with {lacking}." in said(capsys)
    assert not (tmp_path / "out").exists()
    assert exit_code([verb, "--data", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert "counts only" not in said(capsys)


@pytest.mark.parametrize("verb", ["run", "profile"])
def test_a_table_and_a_prior_at_once_are_refused(verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text("{}")
    both = [f"--{option}={tmp_path / 'table.json'}" for option in ("table", "prior")]
    assert exit_code([verb, "--out", str(tmp_path / "out"), *both]) == 2
    assert "--table and --prior exclude each other" in said(capsys)
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_a_folder_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert exit_code(["run", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in said(capsys)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no .tflite or .onnx file"),
        (b"not a model at all, but long enough to have a header", "no .tflite or .onnx file"),
        (None, "could not be read"),
    ],
)
def test_a_broken_model_is_refused(
    content: bytes | None, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    assert exit_code(["validate", str(path), "--budget", "8ms"]) == 2
    assert message in said(capsys)


@pytest.mark.parametrize("name", ["x" * 300, "loop/x", "file/x"])
@pytest.mark.parametrize(
    "words",
    [
        "report {}",
        "report {} {}",
        "validate {}",
        "network {}.pt2",
        "network {}.py:make",
        "network mobilenet_v1 --data {}",
        "run --data {}.npz",
        "train --out {}",
        "init --device fake --out {}.toml",
        "devices check {}.toml",
        "devices list --profiles {}",
    ],
)
def test_a_path_that_can_be_none_is_refused(
    words: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is too long, links in a circle, or a file where a folder should be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    code = exit_code(words.format(name, name).split())
    assert code == (3 if words.startswith("init") and "/" in name else 2)
    assert len(said(capsys).splitlines()) <= 4


def test_a_shape_without_end_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert exit_code(["validate", str(tmp_path / "m.onnx"), "--input-shape", "1x" + "9" * 5000]) == 2
    assert "is no shape" in said(capsys)


@pytest.mark.parametrize("words", [[], ["--runtime", "litert"]])
def test_a_model_from_a_pipe_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what it is, and not that a good file is none."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as stream:
        stream.write(FORMATS[FormatName.TFLITE].trial())
    with os.fdopen(read):
        assert exit_code(["validate", f"/dev/fd/{read}", "--device", "fake", *words]) == 2
    assert "no file that can be read more than once" in said(capsys)


def test_a_share_of_nothing_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert exit_code(["validate", str(tmp_path / "model.tflite"), "--budget", "60%"]) == 2
    assert "8ms" in said(capsys)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((9, 8, 8), np.uint8)}, "y_train"),
        (
            {
                "x_train": np.zeros((9, 8, 8), np.float32),
                "y_train": np.arange(9) % 2,
                "x_test": np.zeros((4, 8, 8), np.uint8),
                "y_test": np.arange(4) % 2,
            },
            "float32",
        ),
        (
            {
                "x_train": np.zeros((9, 8, 8), np.uint8),
                "y_train": np.arange(8) % 2,
                "x_test": np.zeros((4, 8, 8), np.uint8),
                "y_test": np.arange(4) % 2,
            },
            "8 labels",
        ),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(
    arrays: dict[str, np.ndarray], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, **arrays)
    assert exit_code(["train", "--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "out")]) == 2
    assert message in said(capsys)


def test_a_table_of_a_newer_schema_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text('{"schema": "edgewidth/latency-table", "schema_version": 99}')
    assert exit_code(["table", "show", str(path)]) == 2
    assert "newer edgewidth" in said(capsys)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A table and losses of one search space, and losses of another resolution."""
    folder = sample.sample_folder(tmp_path_factory.mktemp("sample"))
    losses = UnaryLosses.read(folder.losses)
    small_table(losses.space).write(folder.table)
    network = losses.space.network
    other = search_space("mobilenet_v1", resolution=64, in_channels=3, num_classes=network.outputs)
    losses.model_copy(update={"space": other}).write(folder.path / "other.json")
    return folder


@pytest.mark.parametrize(
    ("code", "verb", "options", "message"),
    [
        (2, "search", "--table nowhere --losses losses.json", "does not exist"),
        (2, "search", "--table losses.json --losses losses.json", "is not an edgewidth/latency-table file"),
        (2, "search", "--table table.json --losses other.json", "64 of the losses"),
        (1, "search", "--table table.json --losses losses.json --budget 0.01ms", "the fastest is predicted at"),
        (1, "search", "--table table.json --losses losses.json --max-size 1kB", "the latency alone could be kept"),
        (2, "train", "--table nowhere", "does not exist"),
        (2, "train", "--table table.json --resolution 32", "resolution: 32 here"),
        (2, "train", "--weights nowhere", "does not exist"),
        (2, "train", "--weights table.json", "could not be read as safetensors"),
        (2, "finetune", "--config 16-32", "has 2 widths"),
        (2, "finetune", "--config nowhere.json", "could not be read"),
        (2, "finetune", "--config search.json", "chose in another search space"),
        (2, "finetune", "--config 8 --supernet nowhere", "does not exist"),
        (2, "finetune", "--config 8 --supernet table.json --from-scratch", "are different starts"),
        (2, "profile", "--device fake --table nowhere", "does not exist"),
        (2, "profile", "--device fake --prior table.json", "another search space; "),
    ],
)
def test_files_that_do_not_fit_are_refused(
    sampled: RunFolder,
    code: int,
    verb: str,
    options: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An infeasible budget is an answer, and no wrong input; nothing is written."""
    monkeypatch.chdir(sampled.path)
    assert exit_code([verb, *options.split(), "--out", str(tmp_path / "out")]) == code
    assert message in said(capsys)
    assert not (tmp_path / "out").exists()


def test_what_was_trained_is_not_overwritten(sampled: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Only with --force."""
    sampled.weights.touch()
    assert exit_code(["finetune", "--config", "8", "--out", str(sampled.path)]) == 2
    assert "--force" in said(capsys)


def test_a_full_gpu_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Surroundings that failed, with what to change; other errors that nobody foresaw stay defects."""
    import torch

    errors: list[Exception] = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),  # the driver's own, below torch's allocator
        RuntimeError("of another kind"),
    ]

    def full(*_: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr("edgewidth.training.train.compute_device", full)
    for _ in range(2):
        assert exit_code(["train", "--out", str(tmp_path)]) == 3
        assert "--resolution" in (told := said(capsys))
        assert "defect" not in told
    assert exit_code(["train", "--out", str(tmp_path)]) == 70
    assert "defect" in said(capsys)


def test_help_of_every_verb_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from edgewidth.cli.verbs import VERBS

    for verb in VERBS:
        assert exit_code([verb, "--help"]) == 0
        assert "Usage: edgewidth" in capsys.readouterr().out


def test_threads_that_show_nothing_are_refused_before_a_board_boots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the emulated boards, which count instructions on one processor."""
    monkeypatch.setattr("edgewidth.devices.device.open_transport", lambda *_: pytest.fail("it was booted"))
    words = ["profile", "--device", "emulator-cortex-a72", "--threads", "2", "--out", str(tmp_path / "out")]
    assert exit_code(words) == 2
    assert "→ Use --threads 1." in capsys.readouterr().err


LIMITED = """
import resource, sys, tempfile
from edgewidth.cli.main import main
tempfile.tempdir = None
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.mark.parametrize(("most", "message"), [(99, "File too large"), (0, "No usable temporary directory")])
def test_a_full_disk_is_no_defect(most: int, message: str, tmp_path: Path) -> None:
    """Also that of the system's temporary files, where a file of more bytes than so many cannot be written."""
    words = ["init", "--device", "fake", "--out", str(tmp_path / "mine.toml")]
    command = [sys.executable, "-c", LIMITED, str(most), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert "TMPDIR" in done.stderr
    assert not any(tmp_path.iterdir())
