"""An emulated ARM board: QEMU with a clock that counts instructions, one nanosecond each."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.files import temporary_folder
from edgewidth.waiting import pause

if TYPE_CHECKING:
    from edgewidth.devices.emulator.image import BoardImage
    from edgewidth.devices.profiles import EmulatorSection

HOST = "127.0.0.1"
_START_S = 20.0
_BOOT_S = 180.0
_STOP_S = 10.0
_POLL_S = 0.1
_LOG_BYTES = 2_000
_MAX_LOG_BYTES = 10_000_000
_LISTENS = b"Server listening on"
_NET = "n0"
_MEMORY = "Close other programs: the board takes the memory that its profile says, and boots in up to three minutes."
# Without address randomisation two boots run the same instructions.
_KERNEL = "console=ttyAMA0 loglevel=4 rdinit=/init nokaslr norandmaps panic=-1"


class Board:
    """A running board; its SSH server listens on a port of this machine's loopback.

    QEMU runs under ``guard.py``, so it ends with this process however that ends.
    """

    def __init__(self, image: BoardImage, section: EmulatorSection) -> None:
        self._private = ExitStack()
        self._folder = folder = self._private.enter_context(temporary_folder())
        self._monitor: _Monitor | None = None
        self._console = folder / "console.log"
        self._restarted_at = 0
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))]
        command += _qemu_command(image, section, folder)
        with (folder / "qemu.log").open("wb") as log:
            # A session of its own: an interrupt from the keyboard is ours to handle, not QEMU's.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._monitor = _Monitor(self._connect(folder / "monitor"))
            self.port = _forwarded_port(self._monitor.ask("human-monitor-command", **{"command-line": "info usernet"}))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether it is switched on; a board that is hung is."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until the board's SSH server listens.

        The console says so. To try to connect would leave half-open connections for the board to deal with later,
        in the middle of a measurement.

        Raises:
            TransientDeviceError: QEMU ended, or the board did not boot in time; with the console's last words.
        """
        deadline = time.monotonic() + _BOOT_S
        while _LISTENS not in self._said(self._console)[self._restarted_at :]:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TransientDeviceError(f"The emulated board did not boot: {self._last_words()}", remedy=_MEMORY)
            pause(_POLL_S)

    def set_link(self, *, up: bool) -> None:
        """Cut the board's network cable, or plug it in again."""
        self._running_monitor().ask("set_link", name=_NET, up=up)

    def reset(self) -> None:
        """Restart the board as its reset button would: all that was on it is gone. ``wait_ready`` comes next."""
        monitor = self._running_monitor()
        self._restarted_at = len(self._said(self._console))
        monitor.ask("set-action", reboot="reset")  # what the guest asks for is otherwise taken as its end
        monitor.ask("system_reset")

    def close(self) -> None:
        """Switch the board off and remove what it left on this machine; harmless if done before."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        if self._process.stdin is not None:
            self._process.stdin.close()  # the guard then ends QEMU
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._private.close()

    def _running_monitor(self) -> _Monitor:
        if self._monitor is None:
            raise DeviceError("The emulated board is switched off.")
        return self._monitor

    def _connect(self, path: Path) -> socket.socket:
        """A connection to QEMU's monitor. Its file is there a moment before anybody listens at it."""
        deadline = time.monotonic() + _START_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_START_S)
            try:
                connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
            else:
                return connection
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DeviceError(f"QEMU did not start: {self._last_words()}", remedy=_MEMORY)
            pause(_POLL_S / 5)

    def _last_words(self) -> str:
        """The end of what QEMU, or else the board's console, said, as one line."""
        said = self._said(self._console.with_name("qemu.log")) or self._said(self._console)
        lines = re.sub(r"[^\x20-\x7e\n]", "", said[-_LOG_BYTES:].decode(errors="replace")).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    @staticmethod
    def _said(log: Path) -> bytes:
        """What a log holds; a board that would fill it with more is not read on."""
        try:
            with log.open("rb") as stream:
                return stream.read(_MAX_LOG_BYTES)
        except FileNotFoundError:
            return b""


def _qemu_command(image: BoardImage, section: EmulatorSection, folder: Path) -> list[str]:
    return [
        *("qemu-system-aarch64", "-M", "virt,gic-version=2", "-cpu", section.cpu, "-smp", "1"),
        *("-m", str(section.memory_mb), "-icount", "shift=0", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-no-reboot", "-serial", f"file:{folder / 'console.log'}"),
        *("-qmp", f"unix:{folder / 'monitor'},server=on,wait=off"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", _KERNEL),
        # Port 0: the system chooses a free one at the moment it is taken, so boards started together never clash.
        *("-netdev", f"user,id={_NET},restrict=on,hostfwd=tcp:{HOST}:0-:22"),
        *("-device", f"virtio-net-device,netdev={_NET}"),
    ]


def _forwarded_port(usernet: str) -> int:
    found = re.search(rf"HOST_FORWARD\]\s+\d+\s+{re.escape(HOST)}\s+(\d+)", usernet)
    if found is None:
        raise DeviceError(f"QEMU did not say which port it forwards: {usernet.strip()[:200]!r}")
    return int(found[1])


class _Monitor:
    """QEMU's machine protocol: a JSON object per line, answers in order, events in between."""

    _MAX_EVENTS = 1000

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lines: IO[bytes] = connection.makefile("rb")
        try:
            self._lines.readline()  # the greeting
            self.ask("qmp_capabilities")
        except OSError as error:
            self.close()
            raise DeviceError(f"QEMU's monitor does not answer: {error.strerror or error}.") from error

    def ask(self, command: str, **arguments: object) -> Any:
        """The answer to a command.

        Raises:
            DeviceError: QEMU refused it.
            TransientDeviceError: QEMU did not answer.
        """
        question = {"execute": command} | ({"arguments": arguments} if arguments else {})
        try:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            for _ in range(self._MAX_EVENTS):
                answer = json.loads(self._lines.readline())
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise DeviceError(f"QEMU refused {command}: {answer['error'].get('desc')}")
        except (OSError, json.JSONDecodeError) as error:
            raise TransientDeviceError(f"QEMU did not answer to {command}: {error}") from error
        raise TransientDeviceError(f"QEMU did not answer to {command}.")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
