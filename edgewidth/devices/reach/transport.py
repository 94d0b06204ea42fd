"""What every way to reach a device can do; ``local``, ``ssh``, ``adb``, ``emulator`` and ``fake`` are behind it.

All paths on the device are absolute or relative to the transport's working folder. Nothing passes a shell
unquoted: commands are lists of words, and a transport whose other end is a shell quotes each word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Clock, DeviceFacts


class Completed(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """A connected device.

    Every method has a time limit and raises ``TransientDeviceError`` where another try may help (a cut link,
    no answer in time) and ``DeviceError`` where it will not (authentication, no such device, disk full).
    """

    @property
    def clock(self) -> Clock:
        """What a nanosecond is on this device."""

    @property
    def workdir(self) -> str:
        """The absolute path of a folder on the device that is ours; made when the transport is opened."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run a command to its end. Its exit status is the caller's business; only the link raises."""

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Copy files to the device in one go: device path → local file or content. Folders are made."""

    def get(self, path: str, *, max_bytes: int = 64_000_000) -> bytes:
        """The content of a file on the device; ``DeviceError`` if it is missing or larger than ``max_bytes``."""

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Start a command that outlives the link; its standard output and error go to the file ``log``."""

    def read(self, path: str, offset: int, *, max_bytes: int = 4_000_000) -> bytes:
        """What a file holds from ``offset`` on, at most ``max_bytes``; empty if nothing new or no such file."""

    def facts(self) -> DeviceFacts:
        """What the device is, as it says itself."""

    def close(self) -> None:
        """Let go of the device. Started commands go on."""


class TransportClass(Protocol):
    """A class of transports, which connects; apart from ``Transport``, since what is connected can be wrapped."""

    def open(self, profile: DeviceProfile, progress: Progress) -> Transport:
        """Connect to the device that a profile describes.

        Raises:
            ProfileError: The profile lacks what the transport needs.
            DeviceError: The device cannot be reached in this way.
            TransientDeviceError: It did not answer.
        """
