"""Native benchmark programs, for devices without Python: how they are copied there, identified and called."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgewidth.devices.engines.engine import LedEngine
from edgewidth.devices.on_device.visit import VisitError
from edgewidth.devices.reach.process import failure_line
from edgewidth.devices.words import PUSH
from edgewidth.errors import ProfileError

if TYPE_CHECKING:
    from edgewidth.devices.engines.engine import Program
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.records.measurement import DeviceFacts, Engine

    Json = dict[str, Any]

_REPEAT = 'n=$1; shift; while [ "$n" -gt 0 ]; do "$@" 2>&1 || exit; n=$((n-1)); done; times'
"""Runs its arguments behind the first as often as the first says; prints processor times at the end (POSIX)."""


class _MakeProgram(Protocol):
    def __call__(
        self, transport: Transport, path: str, threads: int, affinity: Sequence[int], way: Json
    ) -> Program: ...


@dataclass(frozen=True)
class NativeEngine(LedEngine):
    """An engine whose launcher is a program of its own; see ``EngineSupport``.

    A device profile says where the program is under the launcher's name: a path on the device, or ``push:`` and a
    path on this machine.
    """

    make_program: _MakeProgram
    where_from: str
    """Where a missing program comes from."""
    needs_python: bool = False

    @property
    def key(self) -> str:
        """The launcher: the program is what is found on the device."""
        return self.engine.launcher

    @property
    def profile_key(self) -> str:
        """The launcher's name."""
        return self.engine.launcher

    def version(self, transport: Transport, profile: DeviceProfile, facts: DeviceFacts) -> str | None:
        """A digest of the program, since programs do not tell a version; one that is to be pushed is pushed first."""
        del facts
        given = self._given(profile) or ""
        if given.startswith(PUSH):
            self._push(transport, Path(given.removeprefix(PUSH)))
        digest = _digest(transport, self._path(transport, profile))
        return None if digest is None else f"sha256:{digest[:16]}"

    def used(self, version: str, profile: DeviceProfile, engine: Engine) -> str:
        """The version itself."""
        del profile, engine
        return version

    def install_line(self, profile: DeviceProfile, facts: DeviceFacts) -> str:
        """Where the program comes from."""
        del profile, facts
        return self.where_from

    def program(self, transport: Transport, profile: DeviceProfile, engine: Engine, threads: int) -> Program:
        """The program, held on the profile's processors."""
        way = self.way(profile, engine)
        return self.make_program(transport, self._path(transport, profile), threads, profile.affinity, way)

    def _given(self, profile: DeviceProfile) -> str | None:
        given: str | None = getattr(profile, self.profile_key)
        return given

    def _path(self, transport: Transport, profile: DeviceProfile) -> str:
        """Where the program is on the device."""
        given = self._given(profile) or ""
        return self._pushed_path(transport) if given.startswith(PUSH) else given

    def _pushed_path(self, transport: Transport) -> str:
        return f"{transport.workdir}/programs/{self.engine.launcher}"

    def _push(self, transport: Transport, source: Path) -> None:
        try:
            content = source.read_bytes()
        except OSError as error:
            raise ProfileError(
                f"The program {source}, to be pushed to the device, could not be read: {error.strerror}.",
                remedy=self.where_from,
            ) from error
        target = self._pushed_path(transport)
        if _digest(transport, target) != sha256(content).hexdigest():
            transport.put({target: content})
        transport.run(["chmod", "755", target])


def _digest(transport: Transport, path: str) -> str | None:
    done = transport.run(["sha256sum", path], timeout_s=60.0)
    found = re.match(rb"\\?([0-9a-f]{64})\s", done.stdout)  # a backslash stands before names that need quoting
    return found[1].decode() if done.returncode == 0 and found else None


def pinned(words: Sequence[str], affinity: Sequence[int]) -> list[str]:
    """The command, held on some processors; ``taskset`` of toybox and of util-linux both take a bare hex mask."""
    mask = sum(1 << processor for processor in affinity)
    return ["taskset", f"{mask:x}", *words] if mask else list(words)


def repeat(transport: Transport, times: int, words: Sequence[str], timeout_s: float) -> tuple[str, float]:
    """What a command printed on both its streams, run so often, and the processor seconds that it took."""
    done = transport.run(["sh", "-c", _REPEAT, "sh", str(times), *words], timeout_s=timeout_s)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        reason = failure_line(done.stdout) or failure_line(done.stderr) or "it says nothing"
        raise VisitError(f"{shlex.quote(words[0])} ended with {done.returncode}: {reason}")
    spent = [60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", text)]
    return text, sum(spent[-2:])
