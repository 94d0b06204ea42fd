"""The adb program on this machine: where it is, which phones it sees, and which of them is meant."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.reach.process import finish, last_line
from edgewidth.errors import DeviceError, MissingPackageError, TransientDeviceError
from edgewidth.waiting import pause

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Completed

DEFAULT_PORT = 5555
_CALL_S = 20.0
"""For calls that only the adb server answers; starting that server takes a few seconds."""
_SETTLE_S = 10.0
"""How long a phone may be seen and not yet be ready."""

_STATES = {
    "unauthorized": "has not authorised this computer",
    "offline": "is offline",
    "authorizing": "is still being asked to authorise this computer",
    "connecting": "is still connecting",
    "no permissions": "may not be opened by this user",
    "recovery": "is in recovery mode",
    "sideload": "is in sideload mode",
    "bootloader": "is in its boot loader",
}
_REMEDIES = {
    "unauthorized": "Unlock the phone, accept the question “Allow USB debugging?”, and try again.",
    "authorizing": "Unlock the phone, accept the question “Allow USB debugging?”, and try again.",
    "offline": "Unplug the phone and plug it in again, or restart its USB debugging.",
    "no permissions": "Install the package android-sdk-platform-tools-common (its udev rules), and plug in again.",
}
_PASSING = ("offline", "authorizing", "connecting")
"""States that may be over in a moment."""


class Phone(NamedTuple):
    """One line of ``adb devices``."""

    serial: str
    state: str


class AdbClient:
    """The real adb program; the server it starts, and the port of that server, are the user's own."""

    def __init__(self, program: str) -> None:
        self.program = program

    @classmethod
    def find(cls) -> AdbClient:
        """The adb on the search path, else the one that comes with adbutils.

        Raises:
            MissingPackageError: There is neither.
        """
        program = shutil.which("adb")
        if program is None:
            try:
                import adbutils  # noqa: PLC0415 - an extra, and only needed where the system has no adb
            except ImportError as error:
                raise MissingPackageError("adbutils", extra="adb", purpose="Reaching a phone over ADB") from error
            program = str(adbutils.adb_path())
        return cls(program)

    def call(self, *words: str, timeout_s: float = _CALL_S, stdin: bytes = b"") -> Completed:
        """Run ``adb`` with these words to its end; see ``process.finish`` for what it raises."""
        verb = words[2] if words[0] == "-s" else words[0]
        return finish([self.program, *words], timeout_s=timeout_s, what=f"adb {verb}", stdin=stdin)

    def phones(self) -> list[Phone]:
        """Everything that ``adb devices`` lists.

        Raises:
            TransientDeviceError: The adb server does not start or does not answer.
        """
        done = self.call("devices")
        if done.returncode != 0:
            raise TransientDeviceError(f"The adb server does not answer: {last_line(done.stderr)}.")
        lines = (line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines())
        # "no permissions" is followed by an explanation and an address of a web page.
        return [Phone(serial, state.split(" (")[0].split(";")[0].strip()) for serial, tab, state in lines if tab]

    def select(self, profile: DeviceProfile) -> str:
        """The serial number of the phone that the profile means, once it is ready.

        Raises:
            DeviceError: No such phone, several and none named, or one that has not authorised this computer.
            TransientDeviceError: The phone cannot be reached, or is offline.
        """
        named = profile.serial or os.environ.get("ANDROID_SERIAL")
        if profile.address is not None:
            named = network_serial(profile.address)
            self.connect(named)
        return self.ready(named)

    def ready(self, named: str | None) -> str:
        """Wait, within a limit, until the named (or only) phone may be used; its serial number."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            phones = self.phones()
            phone = _choose(phones, named)
            if phone.state == "device":
                return phone.serial
            if phone.state not in _PASSING or time.monotonic() > deadline:
                raise _not_ready(phone)
            pause(0.3)

    def connect(self, serial: str) -> None:
        """Connect to a phone in the network; a connection that was cut is given up first.

        Raises:
            TransientDeviceError: Nothing answers there.
        """
        if Phone(serial, "device") not in self.phones():
            # After a cut adb says "already connected" and uses the dead connection.
            self.call("disconnect", serial)
        done = self.call("connect", serial)
        answer = last_line(done.stdout) or last_line(done.stderr)
        # A phone that has yet to authorise this computer "failed to authenticate", and is listed.
        if "connected to" not in answer and "failed to authenticate" not in answer:
            raise TransientDeviceError(
                f"No phone answers at {serial}: {answer}.",
                remedy="Check that the phone is in the same network and that wireless debugging is on.",
            )

    def reconnect(self, serial: str, *, network: bool) -> None:
        """Bring a phone back after its link was cut or it was restarted, within a limit.

        Raises:
            TransientDeviceError: It does not come back.
            DeviceError: It is there, and no longer authorises this computer.
        """
        if network:
            self.call("disconnect", serial)
            self.connect(serial)
        self.ready(serial)


def network_serial(address: str) -> str:
    """``host:port`` as adb names a phone in the network."""
    host, colon, port = address.rpartition(":")
    return address if colon and port.isdecimal() and (":" not in host or host.endswith("]")) else _with_port(address)


def _with_port(host: str) -> str:
    return f"[{host}]:{DEFAULT_PORT}" if ":" in host and not host.endswith("]") else f"{host}:{DEFAULT_PORT}"


def _choose(phones: Sequence[Phone], named: str | None) -> Phone:
    listed = ", ".join(f"{phone.serial} ({phone.state})" for phone in phones)
    if named is not None:
        for phone in phones:
            if phone.serial == named:
                return phone
        raise DeviceError(f"No phone {named} is attached.", remedy=f"Attached: {listed or 'none'}.")
    if not phones:
        raise DeviceError(
            "No phone is attached.",
            remedy="Plug it in with USB debugging on (Settings, Developer options), or give `address=host:port`.",
        )
    if len(phones) > 1:
        raise DeviceError(f"Several phones are attached: {listed}.", remedy=f"Name one: `serial={phones[0].serial}`")
    return phones[0]


def _not_ready(phone: Phone) -> DeviceError | TransientDeviceError:
    message = f"The phone {phone.serial} {_STATES.get(phone.state, f'is in the state {phone.state}')}."
    kind = TransientDeviceError if phone.state in _PASSING else DeviceError
    return kind(message, remedy=_REMEDIES.get(phone.state))
