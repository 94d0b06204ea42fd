"""Phones over ADB, through the real adb program.

The other end of every command is a shell, so each word is quoted. Whether a command ran to its end is told by
a line that it prints last: adb itself exits with 1 both for a cut link and for a command that failed.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from edgewidth.devices.reach.adb_client import AdbClient
from edgewidth.devices.reach.facts import read_facts
from edgewidth.devices.reach.process import last_line
from edgewidth.devices.reach.shell_facts import shell_facts
from edgewidth.devices.reach.transport import Completed
from edgewidth.errors import DeviceError, SurroundingsError, TransientDeviceError
from edgewidth.files import temporary_folder
from edgewidth.progress import SILENT

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Clock, DeviceFacts

DEFAULT_WORKDIR = "/data/local/tmp/edgewidth"
"""Under Android's only folder where the shell may both write and execute."""
_SLOWEST_BYTES_PER_S = 500_000
"""A copy may take this long; wireless debugging in a bad network is about ten times faster."""
_DD_BLOCK = 65_536
_LASTING = ("No space left", "Permission denied", "Read-only file system", "Is a directory", "Not a directory")
"""Reasons of a failed copy that stay as they are."""
_FIXED_PERFORMANCE = ("cmd", "power", "set-fixed-performance-mode-enabled")
_MARK = "fixed-performance-mode"
_ELSEWHERE = "Free space there, or name another folder: `workdir=/path`"

_Result = TypeVar("_Result")


class AdbTransport:
    """A phone, or anything else with an adb daemon; see ``Transport``."""

    def __init__(self, client: AdbClient, profile: DeviceProfile, progress: Progress = SILENT) -> None:
        self.client = client
        self.profile = profile
        self.progress = progress
        self.serial = client.select(profile)
        self._cut = self._closed = False
        self._check_features()
        self._workdir = self._make_workdir(profile.workdir or DEFAULT_WORKDIR)
        self._settle_performance_mode()

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> AdbTransport:
        """Find adb and the phone that the profile means, and make the working folder on it."""
        return cls(AdbClient.find(), profile, progress)

    @property
    def clock(self) -> Clock:
        """What a nanosecond is on this device; the board that QEMU emulates may be reached over ADB too."""
        return self.profile.clock

    @property
    def workdir(self) -> str:
        """The absolute path of our folder on the phone."""
        return self._workdir

    def run(self, argv: Sequence[str], *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run a command to its end in the working folder; see ``Transport``."""
        return self._shell(_in_folder(self._workdir, shlex.join(argv)), timeout_s=timeout_s, stdin=stdin)

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Copy files to the phone, a folder at a time; see ``Transport``."""
        folders: dict[str, dict[str, Path | bytes]] = {}
        for path, content in files.items():
            target = self._absolute(path)
            folders.setdefault(str(target.parent), {})[target.name] = content
        for folder, inside in folders.items():
            self._again(partial(self._push, folder, inside))

    def get(self, path: str, *, max_bytes: int = 64_000_000) -> bytes:
        """The content of a file on the phone; see ``Transport``."""
        return self._again(lambda: self._pull(str(self._absolute(path)), max_bytes))

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Start a command in a session of its own, so that it outlives the link; see ``Transport``."""
        quoted = shlex.quote(str(self._absolute(log)))
        command = f"{{ setsid nohup {shlex.join(argv)} </dev/null >{quoted} 2>&1 & }}"
        done = self._shell(_in_folder(self._workdir, command), timeout_s=30.0)
        if done.returncode != 0:
            raise DeviceError(f"{argv[0]} could not be started on {self.serial}: {last_line(done.stderr)}.")

    def read(self, path: str, offset: int, *, max_bytes: int = 4_000_000) -> bytes:
        """What a file holds from ``offset`` on; see ``Transport``.

        In whole blocks, because ``dd`` is the one program that every phone has and that seeks.
        """
        first = offset // _DD_BLOCK
        count = (offset + max_bytes - 1) // _DD_BLOCK - first + 1
        words = ["dd", f"if={self._absolute(path)}", f"bs={_DD_BLOCK}", f"skip={first}", f"count={count}"]
        done = self._again(lambda: self.run(words, timeout_s=30.0 + max_bytes / _SLOWEST_BYTES_PER_S))
        start = offset - first * _DD_BLOCK
        return done.stdout[start : start + max_bytes] if done.returncode == 0 else b""

    def facts(self) -> DeviceFacts:
        """What the phone is, as Android's properties say, and as its Python does where it has one."""
        plain = shell_facts(self)
        if self.run([self.profile.python, "-c", ""]).returncode != 0:
            return plain
        own = read_facts(self, self.profile.python)
        android = (plain.system or "").startswith("Android")
        return own.model_copy(update=plain.model_dump(include={"model", "processor", "system"})) if android else own

    def close(self) -> None:
        """Put the performance mode back, if it was changed; nothing can be asked of the phone afterwards.

        Started commands and the adb server go on.
        """
        if self.profile.fixed_performance:
            try:
                self._again(lambda: self._set_performance_mode(on=False))
            except SurroundingsError as error:
                self.progress.say(
                    f"The phone {self.serial} is still in fixed-performance mode ({error.message}): "
                    "it ends when the phone is restarted, or when it is measured again."
                )
        self._closed = True

    def _check_features(self) -> None:
        done = self.client.call("-s", self.serial, "features")
        if done.returncode == 0 and b"shell_v2" not in done.stdout.split():
            raise DeviceError(
                f"The adb daemon of {self.serial} does not tell how a command ended (no shell_v2).",
                remedy="edgewidth needs Android 7 or newer.",
            )

    def _make_workdir(self, path: str) -> str:
        quoted = shlex.quote(path)
        done = self._shell(f"mkdir -p {quoted} && cd {quoted} && pwd -P", timeout_s=30.0)
        folder = done.stdout.decode(errors="replace").removesuffix("\n")
        if done.returncode != 0 or not folder.startswith("/"):
            raise DeviceError(
                f"The folder {path} could not be made on {self.serial}: {last_line(done.stderr)}.",
                remedy="Choose another one: `workdir=/path`.",
            )
        return folder

    def _settle_performance_mode(self) -> None:
        """Switch the mode on if the profile asks, and off if a killed program left it on."""
        if self.profile.fixed_performance:
            self._set_performance_mode(on=True)
        elif self.run(["test", "-e", _MARK]).returncode == 0:
            self._set_performance_mode(on=False)

    def _set_performance_mode(self, *, on: bool) -> None:
        if on:  # written down first: whatever happens next, someone will know to put it back
            self.run(["touch", _MARK])
        done = self.run([*_FIXED_PERFORMANCE, "true" if on else "false"])
        if on and done.returncode != 0:
            self.progress.say(f"The phone {self.serial} has no fixed-performance mode: {last_line(done.stderr)}.")
        if not on or done.returncode != 0:
            self.run(["rm", "-f", _MARK])

    def _absolute(self, path: str) -> PurePosixPath:
        return PurePosixPath(self._workdir) / path

    def _shell(self, script: str, *, timeout_s: float, stdin: bytes = b"") -> Completed:
        """Run a script of quoted words, and tell a command that failed from a link that did."""
        if self._closed:  # a thread that still measures is not to bring the link back
            raise DeviceError(f"The phone {self.serial} was let go.")
        if self._cut:
            self.client.reconnect(self.serial, network=self.profile.address is not None)
            self._cut = False
        token = secrets.token_hex(8)
        wrapped = f"( {script}\n); echo {token}=$? >&2"
        try:
            done = self.client.call("-s", self.serial, "shell", "-T", wrapped, timeout_s=timeout_s, stdin=stdin)
        except TransientDeviceError as error:
            self._cut = True
            raise TransientDeviceError(f"The phone {self.serial} did not answer within {timeout_s:.0f} s.") from error
        stderr, found, status = done.stderr.rpartition(f"{token}=".encode())
        if not found or not status.strip().isdigit():
            raise self._link_failure(done)
        return Completed(int(status), done.stdout, stderr)

    def _link_failure(self, done: Completed) -> SurroundingsError:
        self._cut = True
        reason = last_line(done.stderr) or "the link was cut"
        return TransientDeviceError(
            f"The phone {self.serial} was lost: {reason}.", remedy="Check its cable or its network, and try again."
        )

    def _push(self, folder: str, files: Mapping[str, Path | bytes]) -> None:
        made = self.run(["mkdir", "-p", folder])
        if made.returncode != 0:
            raise DeviceError(
                f"The folder {folder} could not be made on {self.serial}: {last_line(made.stderr)}.", remedy=_ELSEWHERE
            )
        with temporary_folder() as temporary:
            staged = [_stage(temporary / name, content) for name, content in files.items()]
            self._copy("push", *map(str, staged), f"{folder}/", size=sum(path.stat().st_size for path in staged))

    def _pull(self, path: str, max_bytes: int) -> bytes:
        asked = self.run(["stat", "-c", "%s", path])
        if asked.returncode != 0 or not asked.stdout.strip().isdigit():
            raise DeviceError(f"There is no file {path} on {self.serial}: {last_line(asked.stderr)}.")
        size = int(asked.stdout)
        if size > max_bytes:
            raise DeviceError(f"The file {path} on {self.serial} has {size} bytes, more than {max_bytes}.")
        with temporary_folder() as temporary:
            target = temporary / "file"
            self._copy("pull", path, str(target), size=size)
            return target.read_bytes()

    def _copy(self, verb: str, *words: str, size: int) -> None:
        """``adb push`` or ``adb pull``: no shell on either side, so names go as they are."""
        limit_s = 30.0 + size / _SLOWEST_BYTES_PER_S
        try:
            done = self.client.call("-s", self.serial, verb, *words, timeout_s=limit_s)
        except TransientDeviceError:
            self._cut = True
            raise
        if done.returncode == 0:
            return
        reason = last_line(done.stderr) or last_line(done.stdout)
        if any(text in reason for text in _LASTING):
            raise DeviceError(f"Copying to or from {self.serial} failed: {reason}.", remedy=_ELSEWHERE)
        raise self._link_failure(done)

    def _again(self, action: Callable[[], _Result]) -> _Result:
        """Do what may be done twice; once more if the link was cut."""
        with suppress(TransientDeviceError):
            return action()
        return action()


def _in_folder(folder: str, command: str) -> str:
    return f"cd {shlex.quote(folder)} && {command}"


def _stage(target: Path, content: Path | bytes) -> Path:
    """A local file with the name that it shall have on the phone."""
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        target.symlink_to(content.resolve())
    return target
