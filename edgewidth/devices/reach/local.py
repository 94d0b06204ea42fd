"""This machine as a device."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.devices.reach.facts import device_python, read_facts
from edgewidth.devices.reach.transport import Completed
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.files import cache_folder
from edgewidth.records.measurement import Clock, DeviceFacts

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress


class LocalTransport:
    """Runs commands and keeps files on this machine, in a folder that outlives this program."""

    clock = Clock.WALL

    def __init__(self, folder: Path, python: str) -> None:
        self._folder, self._python = folder.absolute(), python
        self._children: list[subprocess.Popen[bytes]] = []
        with _files(f"{self._folder} could not be made"):
            self._folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(cls, profile: DeviceProfile, progress: Progress) -> LocalTransport:
        """This machine, with the profile's folder or one in the cache.

        Raises:
            DeviceError: The folder cannot be made.
        """
        del progress
        folder = Path(profile.workdir) if profile.workdir else cache_folder() / "device"
        return cls(folder, device_python(profile))

    @property
    def workdir(self) -> str:
        """The folder that is ours."""
        return str(self._folder)

    def run(self, argv: Sequence[str], *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run a command to its end; see ``Transport.run``."""
        try:
            done = subprocess.run(
                list(argv), input=stdin, capture_output=True, timeout=timeout_s, cwd=self._folder, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TransientDeviceError(f"{argv[0]} did not end within {timeout_s:g} s.") from error
        except OSError as error:
            return Completed(127, b"", f"{argv[0]}: {error.strerror}".encode())
        return Completed(done.returncode, done.stdout, done.stderr)

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Copy files; see ``Transport.put``."""
        for name, source in files.items():
            with _files(f"{name} could not be written"):
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())

    def get(self, path: str, *, max_bytes: int = 64_000_000) -> bytes:
        """The content of a file; see ``Transport.get``."""
        content = self.read(path, 0, max_bytes=max_bytes + 1)
        if not (self._folder / path).is_file() or len(content) > max_bytes:
            raise DeviceError(f"{path} on the device is missing or larger than {max_bytes} bytes.")
        return content

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Start a command that outlives this program; see ``Transport.start``."""
        self._reap()
        with _files(f"{argv[0]} could not be started"), (self._folder / log).open("ab") as stream:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                start_new_session=True,
            )
            self._children.append(child)

    def read(self, path: str, offset: int, *, max_bytes: int = 4_000_000) -> bytes:
        """What a file holds from ``offset`` on; see ``Transport.read``."""
        self._reap()
        try:
            with (self._folder / path).open("rb") as stream:
                stream.seek(offset)
                return stream.read(max_bytes)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise DeviceError(f"{path} could not be read: {error.strerror}.") from error

    def facts(self) -> DeviceFacts:
        """What this machine is."""
        return read_facts(self, self._python)

    def close(self) -> None:
        """Let go; what was started goes on."""
        self._reap()

    def _reap(self) -> None:
        # A child that ended stays a zombie until it is asked.
        self._children = [child for child in self._children if child.poll() is None]


@contextmanager
def _files(message: str) -> Iterator[None]:
    """What fails with this machine's files fails as it would on any device."""
    try:
        yield
    except OSError as error:
        raise DeviceError(
            f"{message}: {error.strerror}.", remedy="Free space there, or name another folder: `workdir=/path`"
        ) from error
