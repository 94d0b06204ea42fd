"""Where ``ssh`` is to go: read from a profile, and written as a user types it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.errors import ProfileError

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile

_PARTS = re.compile(
    r"(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^\]]*)\]|(?P<host>[^:]*)|(?P<six>.*:.*:.*))(?::(?P<port>\w*))?"
)
"""``user@host:port``; the last @ counts. An IPv6 address has two colons or more, and brackets where a port follows."""
_MOST_PORT = 65535


class Destination(NamedTuple):
    """Where to, and with which options besides the user's own config."""

    host: str
    """Perhaps with the user, ``user@host``."""
    port: int | None = None
    options: tuple[str, ...] = ()
    label: str = ""
    """What messages call it; empty: its host."""

    @classmethod
    def of(cls, profile: DeviceProfile, *options: str) -> Destination:
        """Where a profile's address leads.

        Raises:
            ProfileError: It has no address, or one that is none, or two different ports.
        """
        address = profile.required_address()
        found = _PARTS.fullmatch(address)
        host = found and (found["bracketed"] or found["host"] or found["six"])
        if not found or not host:
            raise _no_address(profile)
        port = profile.port
        if (text := found["port"]) is not None:
            if not text.isdecimal() or not 1 <= int(text) <= _MOST_PORT or port not in {None, int(text)}:
                raise _no_address(profile)
            port = int(text)
        return cls(f"{found['user']}@{host}" if found["user"] else host, port, options)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.label or self.host.rpartition("@")[2]

    @property
    def words(self) -> list[str]:
        """The words of ssh's command line that say all this, but for the host."""
        return [*([] if self.port is None else ["-p", str(self.port)]), *self.options]

    @property
    def typed(self) -> str:
        """What a user types behind ``ssh`` or ``ssh-copy-id``, whose own config says the rest."""
        return shlex.join([*([] if self.port is None else ["-p", str(self.port)]), self.host])


def _no_address(profile: DeviceProfile) -> ProfileError:
    port = f" with port {profile.port}" if profile.port else ""
    return ProfileError(
        f"The device profile {profile.name}: no place is meant by the address {profile.address}{port}.",
        remedy="Write `address=user@host` or `address=user@host:2222`, an IPv6 address before a port in brackets.",
    )
