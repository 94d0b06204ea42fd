"""Terminals and pipes as they come: too narrow, in another encoding, full, closed; and users without a home folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report.sample import sample_folder
from rich.table import Table

from edgewidth.cli import terminal
from edgewidth.cli.main import exit_code
from edgewidth.cli.output import print_table, say_warnings
from edgewidth.cli.progress import TerminalProgress
from edgewidth.errors import StorageError
from edgewidth.files import cache_folder
from edgewidth.progress import Named
from edgewidth.records.measurement import MeasurementWarning

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


HOSTILE = "[b]x[/red] [/] :bug: \x1b[2J\x9b31m\x07\r"
"""What would be marks of rich's, and what a terminal would obey, in a name that somebody else gave."""
SHOWN = "[b]x[/red] [/] :bug: �[2J�31m��"


@pytest.mark.parametrize("colours", [{}, {"FORCE_COLOR": "1", "COLUMNS": "200"}])
def test_a_cell_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], colours: dict[str, str]
) -> None:
    for name, value in colours.items():
        monkeypatch.setenv(name, value)
    table = Table("file", HOSTILE, box=None)
    table.add_row(HOSTILE, "1 MB")
    print_table(table)
    printed = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)  # bold heads
    assert [SHOWN in line for line in printed.splitlines()] == [True, True]


def test_progress_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In lines and in bars."""
    progress = TerminalProgress()
    with progress.task(HOSTILE, 2) as task:
        monkeypatch.setattr("edgewidth.cli.progress.LINE_EVERY_S", -1.0)
        task.note(HOSTILE)
        task.advance()
    progress.say(HOSTILE)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{SHOWN}: 1 of 2, {SHOWN}", f"{SHOWN} · 0 s", SHOWN]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    progress = TerminalProgress()
    with progress.task(HOSTILE, 2) as task:
        task.note(HOSTILE)
        progress._bars.refresh()
    drawn = capsys.readouterr().err
    assert drawn.count(SHOWN) >= 3
    assert not {"\x1b[2J", "\x9b", "\x07"} & set(re.findall(r"\x1b\[2J|\x9b|\x07", drawn))


def test_warnings_are_told_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Of texts of the device, too, which stand in them."""
    say_warnings([MeasurementWarning(code="software-accelerator", message=HOSTILE, remedy=HOSTILE)])
    assert capsys.readouterr().err.splitlines() == [f"Warning: {SHOWN}", f"  → {SHOWN}"]


@pytest.mark.parametrize("verb", [["report"], ["validate"], ["network"], ["devices", "check"], ["devices"]])
def test_a_name_in_an_error_is_told_as_it_is(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*verb, HOSTILE]) == 2
    told = capsys.readouterr().err
    assert "[b]x[/red]" in told
    assert not {"\x1b", "\x9b", "\x07"} & set(told)


def test_a_description_with_brackets_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text('transport = "local"\ndescription = "Pi [/kitchen] [red]"\n')
    assert exit_code(["devices", "list", "--profiles", str(tmp_path)]) == 0
    assert "Pi [/kitchen] [red]; litert" in capsys.readouterr().out


def test_a_run_folder_with_brackets_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sample_folder(tmp_path / "run[b] [" / "b]")
    assert exit_code(["report", str(folder.path)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder.path}/model_int8.tflite" in printed
    assert f"The report is {folder.report_html}" in printed


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
