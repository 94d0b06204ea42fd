"""Devices over SSH, through the system's own ``ssh``: its config, agent, jump hosts and known hosts count."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from edgewidth.devices.reach.destination import Destination
from edgewidth.devices.reach.facts import read_facts
from edgewidth.devices.reach.process import last_line
from edgewidth.devices.reach.shell_facts import shell_facts
from edgewidth.devices.reach.ssh_link import SshLink
from edgewidth.errors import DeviceError, FileError
from edgewidth.files import in_home

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Completed
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Clock, DeviceFacts

_FILE_S = 60.0
_SLOWEST_BYTES_PER_S = 100_000
"""A copy may take ``_FILE_S`` and as long as this speed needs."""
_MISSING = 66
_FULL = re.compile(r"No space left|[Qq]uota exceeded|Wrote only \d+ of")
"""What a full disk makes tar, cat and the shell say."""
_TAR_FAREWELL = re.compile(r"^tar: Exiting with failure status.*$", re.MULTILINE)

# Scripts are constants; what comes from outside arrives as words.
_RUN = 'cd "$1" && shift && "$@"'
_UNPACK = 'mkdir -p "$1" && exec tar -x -f - -C "$1"'
_GET = f'test -f "$1" || exit {_MISSING}; exec head -c "$2" "$1"'
_READ = 'test -f "$1" || exit 0; tail -c "+$2" "$1" | head -c "$3"'
_START = """cd "$1" && mkdir -p "$(dirname "$2")" && : >>"$2" || exit 1
log=$2; shift 2
if command -v setsid >/dev/null; then setsid nohup "$@" >>"$log" 2>&1 </dev/null &
else nohup "$@" >>"$log" 2>&1 </dev/null & fi"""


class SshTransport:
    """A device over SSH; see ``Transport``."""

    def __init__(self, destination: Destination | Callable[[], Destination], profile: DeviceProfile) -> None:
        self._profile = profile
        self._link = SshLink(destination if callable(destination) else lambda: destination, profile.workdir)

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> Self:
        """Connect to the profile's address.

        Raises:
            ProfileError: The profile has no address, or one that is none.
            DeviceError: ssh is missing, or the device refuses.
            TransientDeviceError: The device does not answer.
        """
        del progress
        key = () if profile.identity is None else ("-i", str(in_home(profile.identity)))
        return cls(Destination.of(profile, *key), profile)

    @property
    def clock(self) -> Clock:
        """What a nanosecond is on this device."""
        return self._profile.clock

    @property
    def workdir(self) -> str:
        """The absolute path of our folder on the device."""
        return self._link.folder

    def run(self, argv: Sequence[str], *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run a command to its end in the working folder; see ``Transport.run``."""
        return self._link.call(_RUN, [self.workdir, *argv], timeout_s=timeout_s, stdin=stdin)

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Copy files in one stream; see ``Transport.put``. A file that was there is replaced."""
        folders: dict[str, dict[str, Path | bytes]] = {}
        for path, source in files.items():
            # Below our folder a path is taken from there: the way to it may not be ours to see.
            root = "/" if posixpath.isabs(path) else self.workdir
            folders.setdefault(root, {})[posixpath.normpath(path).lstrip("/")] = source
        for root, inside in folders.items():
            with _packed(inside) as archive:
                self._unpack(root, archive)

    def get(self, path: str, *, max_bytes: int = 64_000_000) -> bytes:
        """The content of a file; see ``Transport.get``."""
        words = [self._absolute(path), str(max_bytes + 1)]
        done = self._link.call(_GET, words, timeout_s=_time_for(max_bytes), max_bytes=max_bytes + 1)
        if done.returncode == _MISSING:
            raise DeviceError(f"There is no file {path} on {self._profile.name}.")
        if len(done.stdout) > max_bytes:
            raise DeviceError(f"{path} on {self._profile.name} is larger than {max_bytes} bytes.")
        _check(done, f"{path} on {self._profile.name} could not be read")
        return done.stdout

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Start a command that outlives the link; see ``Transport.start``."""
        done = self._link.call(_START, [self.workdir, self._absolute(log), *argv], timeout_s=_FILE_S)
        _check(done, f"{argv[0]} could not be started on {self._profile.name}")

    def read(self, path: str, offset: int, *, max_bytes: int = 4_000_000) -> bytes:
        """What a file holds from ``offset`` on; see ``Transport.read``."""
        words = [self._absolute(path), str(offset + 1), str(max_bytes)]
        done = self._link.call(_READ, words, timeout_s=_time_for(max_bytes), max_bytes=max_bytes)
        _check(done, f"{path} on {self._profile.name} could not be read")
        return done.stdout

    def facts(self) -> DeviceFacts:
        """What the device is, as its Python says, or else its shell."""
        if self.run(["command", "-v", self._profile.python]).returncode != 0:
            return shell_facts(self)
        return read_facts(self, self._profile.python)

    def close(self) -> None:
        """Close the link; started commands go on."""
        self._link.close()

    def _absolute(self, path: str) -> str:
        return posixpath.join(self.workdir, path)

    def _unpack(self, root: str, archive: IO[bytes]) -> None:
        size = archive.seek(0, io.SEEK_END)
        archive.seek(0)
        done = self._link.call(_UNPACK, [root], timeout_s=_time_for(size), stdin=archive)
        _check(done, f"Files could not be copied to {self._profile.name}")


def _packed(files: Mapping[str, Path | bytes]) -> IO[bytes]:
    """The files as an open tar archive: on disk, because together they may be larger than the memory to spare."""
    archive = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    try:
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, source in files.items():
                _add(tar, name, source)
    except OSError as error:
        archive.close()
        raise FileError(f"{error.filename or 'A file'} could not be read: {error.strerror}.") from error
    return archive


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    """Add a file under a name, with nothing of this machine's owners and modes."""
    entry = tarfile.TarInfo(name)
    entry.mtime = int(time.time())
    if isinstance(source, bytes):
        entry.size = len(source)
        tar.addfile(entry, io.BytesIO(source))
        return
    entry.size = source.stat().st_size
    entry.mode |= source.stat().st_mode & 0o100
    with source.open("rb") as stream:
        tar.addfile(entry, stream)


def _time_for(size: int) -> float:
    return _FILE_S + size / _SLOWEST_BYTES_PER_S


def _check(done: Completed, problem: str) -> None:
    """Raise if a file command failed, with the device's own last word on it."""
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace")
    if _FULL.search(said):
        raise DeviceError(
            f"{problem}: its disk is full.", remedy="Free space there, or name another folder: `workdir=/path`"
        )
    raise DeviceError(
        f"{problem}: {last_line(_TAR_FAREWELL.sub('', said)) or 'it says nothing'}.",
        remedy="Give the login there write access, or name another folder: `workdir=/path`",
    )
