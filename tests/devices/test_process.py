"""Programs that are run to their end: bounded in time and output."""

from __future__ import annotations

import sys
import tempfile
import time

import pytest

from edgewidth.devices.reach.process import DETAIL_BYTES, finish
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.files import temporary_folder


def test_streams_and_status() -> None:
    """What goes in comes out, on both streams, with the exit status, however much it is."""
    content = bytes(range(256)) * 8000
    code = "d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); print('x' * 99999, file=sys.stderr); exit(7)"
    done = finish([sys.executable, "-c", f"import sys; {code}"], timeout_s=30, what="Copying", stdin=content)
    assert (done.returncode, done.stdout) == (7, content)
    assert done.stderr == (b"x" * DETAIL_BYTES + b"\n")[-DETAIL_BYTES:]


def test_input_from_a_file() -> None:
    """An open file is read from where it stands."""
    with tempfile.TemporaryFile() as source:
        source.write(b"skip this")
        source.seek(5)
        assert finish(["cat"], timeout_s=10, what="Copying", stdin=source).stdout == b"this"


def test_input_that_nobody_reads() -> None:
    """A program may end before it has read all."""
    assert finish(["true"], timeout_s=10, what="Nothing", stdin=b"x" * 10_000_000).returncode == 0


def test_too_long_and_too_much() -> None:
    """Each has its own error, in time."""
    begin = time.monotonic()
    with pytest.raises(TransientDeviceError, match=r"Sleeping took longer than 0\.2 s\."):
        finish(["sleep", "60"], timeout_s=0.2, what="Sleeping")
    with pytest.raises(DeviceError, match=r"Chatting printed more than 0\.5 MB\."):
        finish(["yes"], timeout_s=30, what="Chatting", max_bytes=500_000)
    assert time.monotonic() - begin < 20


def test_output_that_outlives_its_program() -> None:
    """A child in the background that keeps the pipe open does not keep us past the limit."""
    with pytest.raises(TransientDeviceError, match="took longer"):
        finish(["sh", "-c", "sleep 5 &"], timeout_s=0.5, what="Leaving")


def test_no_such_program() -> None:
    """A lasting trouble that names it."""
    with pytest.raises(DeviceError, match="no-such-program could not be started: No such file"):
        finish(["no-such-program"], timeout_s=1, what="It")


def test_folders_for_sockets_are_short_and_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the usual temporary folder has a long name."""
    monkeypatch.setattr(tempfile, "tempdir", f"{tempfile.gettempdir()}/{'long' * 30}")
    with temporary_folder() as folder:
        assert len(str(folder)) < 60
        assert folder.stat().st_mode & 0o777 == 0o700
