"""One shared connection of the system's ``ssh``: made, checked, used for commands, and made again after a cut.

The connection is a process of its own (ssh's ControlMaster) whose remote end reads from a pipe that this program
holds: it ends when this program does, however that happens.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgewidth.devices.reach.framing import NOISE_BYTES, framed_line, make_mark, plain_line, unframed
from edgewidth.devices.reach.process import DETAIL_BYTES, OUTPUT_BYTES, finish
from edgewidth.devices.reach.ssh_errors import FOLDER_STATUS, LINK_STATUS, broken, refusal, unanswered
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.files import temporary_folder

if TYPE_CHECKING:
    from edgewidth.devices.reach.destination import Destination
    from edgewidth.devices.reach.transport import Completed

_CONNECT_S = 45.0
# The folder is made here, because a device that was restarted may have lost it.
_GREETING = (
    'folder=${1:-"${XDG_CACHE_HOME:-$HOME/.cache}/edgewidth"}; mkdir -p "$folder" && cd "$folder" || '
    f'exit {FOLDER_STATUS}; printf "\\n%s %s\\n" "$2" "$(pwd -P)"; exec cat >/dev/null'
)
_OPTIONS = (
    *("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3", "LogLevel=INFO"),
    *("ControlMaster=yes", "ControlPersist=no", "RemoteCommand=none", "RequestTTY=no", "PermitLocalCommand=no"),
    *("ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no"),
)
"""What must hold whatever the user's own config says; all else is the config's to say."""


class SshLink:
    """A connection to one device; ``folder`` None: the working folder there is one in the user's cache on the device.

    ``destination`` is asked whenever a connection is made: a device that was restarted may be somewhere else.

    Raises:
        DeviceError: ssh is missing, the host key is unknown or changed, authentication failed, no such host.
        TransientDeviceError: The device does not answer.
    """

    def __init__(self, destination: Callable[[], Destination], folder: str | None) -> None:
        self._find, self._asked_folder = destination, folder
        if shutil.which("ssh") is None:
            raise DeviceError("The program ssh is missing.", remedy="sudo apt-get install openssh-client")
        self._private = ExitStack()
        self._socket = str(self._private.enter_context(temporary_folder()) / "s")
        self._lock = threading.RLock()
        self._master: _Master | None = None
        self.folder = ""
        """The absolute path of the working folder on the device."""
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def call(
        self,
        script: str,
        words: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes | IO[bytes] = b"",
        max_bytes: int = OUTPUT_BYTES,
    ) -> Completed:
        """Run a constant POSIX shell script with words as its ``$1`` and so on; the caller judges its exit status.

        Raises:
            TransientDeviceError: The link broke or the time is over. The script may have run, in part or whole.
            DeviceError: As on connecting, or the script printed more than ``max_bytes``.
        """
        with self._lock:
            self._ensure()
            what, mark = f"A command on {self._destination.name}", make_mark()
            try:
                done = finish(
                    self._client([framed_line(script, words, mark)]),
                    timeout_s=timeout_s,
                    what=what,
                    stdin=stdin,
                    max_bytes=max_bytes + NOISE_BYTES,
                    environment=_environment(),
                )
            except TransientDeviceError:
                self._drop()  # whether the link or the command hangs cannot be told; a new link is cheap
                raise
            answer = unframed(done, mark)
            if answer is None:
                raise self._failure(done)
            if len(answer.stdout) > max_bytes:
                raise DeviceError(f"{what} printed more than {max_bytes / 1e6:.2g} MB.")
            return answer

    def close(self) -> None:
        """Close the connection; harmless if it is closed."""
        with self._lock:
            self._drop()
            self._private.close()

    def _client(self, words: Sequence[str]) -> list[str]:
        # Without the shared connection this must fail instead of making another one: hence the proxy command.
        options = ("-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes")
        return ["ssh", "-F", "none", "-S", self._socket, "-T", *options, "--", self._destination.host, *words]

    def _failure(self, done: Completed) -> DeviceError | TransientDeviceError:
        """Why a command did not come to its end."""
        said, to = done.stderr.decode(errors="replace"), self._destination
        if done.returncode == LINK_STATUS and "Session open refused by peer" in said and self._alive():
            return DeviceError(
                f"{to.name} refuses a second session on one connection.",
                remedy="Its sshd_config should say MaxSessions 10, which is the default.",
            )
        if done.returncode != LINK_STATUS and self._alive():
            return unanswered(to, said)
        return broken(to, self._drop() or said)

    def _alive(self) -> bool:
        if self._master is None or not self._master.running:
            return False
        command = ["ssh", "-F", "none", "-S", self._socket, "-O", "check", "--", self._destination.host]
        return finish(command, timeout_s=10, what="Asking ssh about its connection").returncode == 0

    def _ensure(self) -> None:
        """Connect again if the connection is gone."""
        if self._master is None or not self._master.running:
            self._connect()

    def _connect(self) -> None:
        self._drop()
        self._destination = self._find()
        options = [word for option in _OPTIONS for word in ("-o", option)]
        host = self._destination.host
        mark = make_mark()
        remote = plain_line(_GREETING, [self._asked_folder or "", mark])
        command = ["ssh", "-S", self._socket, "-T", *self._destination.words, *options, "--", host, remote]
        self._master = _Master(command)
        folder = self._master.folder(mark, time.monotonic() + _CONNECT_S)
        if folder is None:
            status = self._master.status
            raise refusal(self._destination, self._drop(), status, known=bool(self.folder))
        self.folder = folder

    def _drop(self) -> str:
        """End the connection, if there is one; what ssh said of it."""
        master, self._master = self._master, None
        said = master.end() if master is not None else ""
        Path(self._socket).unlink(missing_ok=True)
        return said


class _Master:
    """The ssh process that holds the connection."""

    def __init__(self, command: Sequence[str]) -> None:
        self._said = bytearray()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # an interrupt from the keyboard is ours to handle, not ssh's
        )
        assert self._process.stderr is not None  # noqa: S101  # opened as a pipe; this tells mypy
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        try:
            return self._process.wait(1)
        except subprocess.TimeoutExpired:
            return None

    def folder(self, mark: str, deadline: float) -> str | None:
        """Wait for the greeting with this mark; the folder that it names, None if it does not come.

        Raises:
            DeviceError: Something else comes, and does not end.
        """
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  # opened as a pipe; this tells mypy
        greeting = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while len(greeting) < NOISE_BYTES and selector.select(max(0.0, deadline - time.monotonic())):
                part = os.read(stdout.fileno(), 4096)
                greeting += part
                found = re.search(rb"^" + mark.encode() + rb" (/.*)\n", greeting, re.MULTILINE)
                if found:
                    return os.fsdecode(found[1])
                if not part:
                    return None
        if len(greeting) >= NOISE_BYTES:
            raise DeviceError(
                "The device floods every login with output instead of running a command.",
                remedy="See what its login scripts print.",
            )
        return None

    def end(self) -> str:
        """End the process; what it said on standard error."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(1)
        return self._said.decode(errors="replace")

    def _listen(self, stderr: IO[bytes]) -> None:
        """Keep the end of what ssh says; unread it would fill the pipe and stop."""
        with stderr:
            while part := os.read(stderr.fileno(), 4096):
                self._said += part
                del self._said[:-DETAIL_BYTES]


def _environment() -> dict[str, str]:
    return os.environ | {"LC_ALL": "C"}  # ssh's messages are told apart by their English text
