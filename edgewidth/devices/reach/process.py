"""Run a program on this machine to its end, within a time limit and with bounded output."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from edgewidth.devices.reach.transport import Completed
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.waiting import POLL_S, go_on

OUTPUT_BYTES = 64_000_000
"""More than this on standard output is an error: nothing here has so much to say."""
DETAIL_BYTES = 20_000
"""What is kept of standard error: its end."""
_CHUNK = 1 << 16


def finish(
    command: Sequence[str],
    *,
    timeout_s: float,
    what: str,
    stdin: bytes | IO[bytes] = b"",
    max_bytes: int = OUTPUT_BYTES,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Completed:
    """Run ``command`` to its end; its exit status is the caller's business.

    Args:
        command: The program and its arguments; no shell is involved.
        timeout_s: After this the program is killed.
        what: What is being done, for messages: the subject of a sentence.
        stdin: What the program reads, as bytes or an open file; it may leave some of it.
        max_bytes: With more than this on standard output the program is killed.
        environment: Its environment variables; None: this process's own.
        folder: Its working folder; None: this process's own.

    Raises:
        TransientDeviceError: It took longer than ``timeout_s``.
        KeyboardInterrupt: The work was called off; the program is killed.
        DeviceError: No such program, or it printed more than ``max_bytes``.
    """
    content = stdin if isinstance(stdin, bytes) else b""
    source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
    try:
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,  # an interrupt from the keyboard is ours to handle
        )
    except OSError as error:
        raise DeviceError(f"{what} failed: {command[0]} could not be started: {error.strerror}.") from error
    with process:
        try:
            return _exchange(process, content, time.monotonic() + timeout_s, max_bytes)
        except _TooLateError:
            raise TransientDeviceError(f"{what} took longer than {timeout_s:g} s.") from None
        except _TooMuchError:
            raise DeviceError(f"{what} printed more than {max_bytes / 1e6:.2g} MB.") from None
        finally:
            process.kill()  # does nothing if it has ended


class _TooLateError(Exception):
    pass


class _TooMuchError(Exception):
    pass


def _exchange(process: subprocess.Popen[bytes], stdin: bytes, deadline: float, max_bytes: int) -> Completed:
    """Feed and read all three streams at once, so that no full pipe stops either side."""
    assert process.stdout and process.stderr  # noqa: S101, PT018  # opened as pipes; this tells mypy
    out, err = bytearray(), bytearray()
    unsent = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, out)
        selector.register(process.stderr, selectors.EVENT_READ, err)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            ready = selector.select(max(0.0, min(POLL_S, deadline - time.monotonic())))
            go_on()
            if time.monotonic() >= deadline:
                raise _TooLateError
            for key, _ in ready:
                if process.stdin is not None and key.fileobj is process.stdin:
                    unsent = _feed(process.stdin, unsent)
                    if not unsent:
                        selector.unregister(process.stdin)
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk)
            del err[:-DETAIL_BYTES]
            if len(out) > max_bytes:
                raise _TooMuchError
    try:
        return Completed(process.wait(max(0.1, deadline - time.monotonic())), bytes(out), bytes(err))
    except subprocess.TimeoutExpired:
        raise _TooLateError from None


def _feed(pipe: IO[bytes], unsent: memoryview) -> memoryview:
    """Write what the pipe takes; what is left, nothing if the other side has closed it."""
    try:
        return unsent[os.write(pipe.fileno(), unsent[:_CHUNK]) :] if unsent else unsent
    except BrokenPipeError:
        return unsent[:0]


def failure_line(output: bytes) -> str:
    """The line of a program's output that says why it failed: the first that is called an error, or the last."""
    lines = output.decode(errors="replace").splitlines()
    errors = [last_line(line.partition("ERROR: ")[2]) for line in lines if "ERROR: " in line]
    return next(filter(None, errors), last_line(output))


def last_line(output: str | bytes) -> str:
    """The last line of a program's output that says something, to be part of a sentence of ours.

    What could steer a terminal, adb's own prefixes and the full stop are left out.
    """
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    lines = [re.sub(r"[^\x20-\x7e]", "", line).strip() for line in text.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return last.removeprefix("adb: ").removeprefix("error: ")[:300].rstrip(".")
