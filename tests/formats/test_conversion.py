from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgewidth.errors import InputError, MissingPackageError, SurroundingsError
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.tflite import convert as convert_module
from edgewidth.formats.tflite.convert import tflite_files
from edgewidth.records.measurement import Precision
from edgewidth.waiting import run_to_end

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from converter import Converter
    from formats.cases import Case


def convert(case: Case, **changes: Any) -> dict[Precision, bytes]:
    space = case.space
    images = np.zeros((1, 32, 32, 3), np.uint8)
    whole = Conversion(space.network, space.widths(space.largest), case.weights, [Precision.INT8], images)
    return tflite_files(whole._replace(**changes))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "needs calibration images"),
        (np.zeros((0, 32, 32, 3), np.uint8), "needs calibration images"),
        (np.zeros((1, 32, 32, 3), np.int64), "int64 of shape"),
        (np.zeros((1, 32, 32, 1), np.uint8), r"of shape \(32, 32, 1\)"),
    ],
)
def test_calibration_images_must_fit(residual_case: Case, images: Any, message: str) -> None:
    """Before a process is started."""
    with pytest.raises(InputError, match=message):
        convert(residual_case, calibration=images)


def test_a_missing_tensorflow_says_how_to_install_it(residual_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError) as caught:
        convert(residual_case)
    assert caught.value.remedy == "pip install 'edgewidth[export]'"


@pytest.mark.parametrize(
    ("returncode", "stderr", "message"),
    [
        (-9, "", "killed by signal 9"),
        (1, "Traceback …\nValueError: no such thing", "failed: ValueError: no such thing"),
        (3, "", "it said nothing"),
    ],
)
def test_a_converter_that_dies_leaves_its_reason(
    residual_case: Case, monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str, message: str
) -> None:
    """The process is another one, so that its end is not ours."""
    ended = subprocess.CompletedProcess([], returncode, "", stderr)
    monkeypatch.setattr(convert_module, "run_to_end", lambda *_, **__: ended)
    with pytest.raises(SurroundingsError, match=message):
        convert(residual_case)


def test_a_converter_that_hangs_is_given_up(residual_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit stands on every process."""

    def hang(command: list[str], *, timeout_s: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout_s)

    monkeypatch.setattr(convert_module, "run_to_end", hang)
    with pytest.raises(SurroundingsError, match="took more than"):
        convert(residual_case)


def test_a_process_of_its_own_makes_the_files_of_the_tests(
    residual_case: Case, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte what forks make, in which all other tests convert; nobody hears what TensorFlow says."""
    forked = convert(residual_case)
    commands: list[Sequence[str]] = []

    def fresh(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return run_to_end(command, **options)

    monkeypatch.setattr(convert_module, "run_to_end", fresh)
    assert convert(residual_case) == forked
    assert len(commands) == 1
    assert capfd.readouterr() == ("", "")


def test_a_fork_that_fails_says_why(converter: Converter, tmp_path: Path) -> None:
    """Or failures of the tests would be without a reason."""
    done = converter.run([str(tmp_path)], timeout_s=60, environment=os.environ)
    assert done.returncode == 1
    assert "request.json" in done.stderr.splitlines()[-1]
