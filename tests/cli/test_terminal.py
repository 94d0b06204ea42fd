"""Terminals and pipes as they come: too narrow, in another encoding, full, closed; and users without a home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from edgewidth.cli import terminal
from edgewidth.cli.output import print_table
from edgewidth.cli.progress import TerminalProgress
from edgewidth.errors import StorageError
from edgewidth.files import cache_folder
from edgewidth.progress import Named

PATH = "a/very/long/path/that/somebody/has/to/type/" + "x" * 60 + ".tflite"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The listing of devices, with what a shell does to its streams."""
    line = f'{sys.executable} -m edgewidth devices "$@" {command}'
    return subprocess.run(
        ["/bin/sh", "-c", line, "sh", "list"],
        env=os.environ | environment,
        capture_output=True,
        check=False,
        timeout=60,
    )


@needs_full
def test_full_output_is_told() -> None:
    """By a sentence and the exit code of a full disk; where errors cannot be told either, by the code alone."""
    done = shell("> /dev/full")
    assert done.returncode == 3
    assert done.stderr.decode().startswith("Error: Standard output could not be written: No space left")
    assert len(done.stderr.splitlines()) == 2
    assert shell("> /dev/full 2> /dev/full").returncode == 3


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", "2> /dev/full"])
def test_closed_streams_are_no_trouble(streams: str) -> None:
    done = shell(streams)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"raspberry-pi-4b" in done.stdout) is (">&-" not in streams.replace("2>&-", ""))


def test_errors_have_their_exit_code_without_a_stream_for_them() -> None:
    for streams in ("2>&-", "2> /dev/full"):
        assert shell(f"--nonsense {streams}").returncode == 2


def test_a_reader_that_leaves_is_no_trouble() -> None:
    done = shell("| true")
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_encoding_that_lacks_characters(tmp_path: Path) -> None:
    """Plain ones stand for them, and the exit code is the answer's."""
    (tmp_path / "own.toml").write_text('transport = "local"\ndescription = "5 µs → 12 °C ± 3 – 日"\n')
    command = [sys.executable, "-m", "edgewidth", "devices", "list", "--profiles", str(tmp_path)]
    for settings in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}):
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"-> 12" in done.stdout
        assert done.stdout.decode(settings["PYTHONIOENCODING"]).count("?") == 1  # the one that has no plain form


def test_names_of_files_keep_their_bytes() -> None:
    """Also where they are no text."""
    with pytest.raises(UnicodeEncodeError) as caught:
        "caf\udce9".encode()
    assert terminal._plainly(caught.value) == (b"\xe9", 4)


@pytest.mark.parametrize("columns", ["20", "80"])
def test_what_has_to_be_typed_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """In a terminal that is too narrow for it, too; long sentences fold there."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    table = Table("file", "size", "what it is", box=None)
    table.add_row(PATH, "1024 w13", "some words that may well be folded, since nobody types them " * 3)
    print_table(table)
    printed = capsys.readouterr().out
    assert f"{PATH}  1024 w13  some" in printed
    assert len(printed.splitlines()) > 2


def test_no_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is for a user of a container who stands in no list of users."""
    for name in ("HOME", "EDGEWIDTH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no entry")))
    with pytest.raises(StorageError, match="no home folder") as caught:
        cache_folder()
    assert "EDGEWIDTH_CACHE=/path" in (caught.value.remedy or "")


def test_a_remaining_time_leaves_out_what_happens_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes before the first step are none of every step's; before a tenth is done nothing is told."""
    now = [0.0]
    monkeypatch.setattr("edgewidth.cli.progress.time.monotonic", lambda: now[0])
    with TerminalProgress().task("measuring", 100) as task:
        now[0] = 600.0  # a conversion
        task.advance()
        for _ in range(20):
            now[0] += 2.0
            task.advance()
    told = [line for line in capsys.readouterr().err.splitlines() if "of 100" in line]
    assert told[0] == "measuring: 1 of 100"
    assert told[-1].startswith("measuring: 17 of 100, about 2 min 46 s left")


def test_progress_of_several_devices_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Once in each line."""
    progress = Named("pi", TerminalProgress())
    progress.say("The link broke.")
    progress.say("The runner on pi is silent.")
    with progress.task("Converting"):
        pass
    assert capsys.readouterr().err.splitlines() == [
        "pi: The link broke.",
        "The runner on pi is silent.",
        "pi: Converting · 0 s",
    ]
