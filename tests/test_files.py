"""Where files are kept between runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgewidth import files
from edgewidth.files import cache_folder
from edgewidth.stages.claim import locked


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"EDGEWIDTH_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"EDGEWIDTH_CACHE": "~/own"}, "/home/somebody/own"),
        ({"EDGEWIDTH_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/edgewidth"),
        ({"XDG_CACHE_HOME": ""}, "/home/somebody/.cache/edgewidth"),
        ({}, "/home/somebody/.cache/edgewidth"),
    ],
)
def test_the_cache_folder(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own choice comes before the desktop's, and an empty variable counts as none."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("EDGEWIDTH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


ABANDONED = """
import os, signal
from edgewidth import files
files._SHORT = 1000
with files.temporary_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_program_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary folder, once that is not quite new; never one of a program that lives, or of another kind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(files, "_SHORT", 1000)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with monkeypatch.context() as patch:
        patch.setattr(files, "_NEW_S", 0.0)
        command = [sys.executable, "-c", ABANDONED]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
        left = Path(done.stdout.strip())
        assert left.is_dir()
        (tmp_path / "ew-other").mkdir()
        files._remove_abandoned.cache_clear()
        with files.temporary_folder() as living:
            files._remove_abandoned.cache_clear()
            with files.temporary_folder():
                assert living.exists()
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["ew-other"]


def test_half_written_files_go_when_the_folder_is_used_again(tmp_path: Path) -> None:
    """Those of ours alone."""
    for name in (".search.json.abc.edgewidth-part", ".other.part", "search.json"):
        (tmp_path / name).write_text("")
    with locked(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".other.part", "search.json", ".lock"}


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []
