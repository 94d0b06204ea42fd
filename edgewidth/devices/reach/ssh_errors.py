"""What ssh's own messages mean: what will fail again in the same way, what may pass, and what to do about it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.devices.reach.process import last_line
from edgewidth.errors import DeviceError, TransientDeviceError

if TYPE_CHECKING:
    from edgewidth.devices.reach.destination import Destination

LINK_STATUS = 255
"""What ssh exits with when it failed itself; a remote command may exit with it too."""
FOLDER_STATUS = 73
"""What our greeting exits with where the working folder cannot be made (``EX_CANTCREAT`` of sysexits.h)."""


class _Meaning(NamedTuple):
    """A message of ssh that stands for a lasting trouble; ``{said}`` is the last line, ``{host}`` without the user."""

    pattern: str
    message: str
    remedy: str


_NO_HOST = _Meaning(
    r"Could not resolve hostname (?!.*Temporary failure)",
    "There is no host {host}.",
    "Check the address: `address=user@host`, or your ssh config.",
)
_LASTING = (
    _Meaning(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The host key of {host} is not the one that this machine knows: another device, or someone in between.",
        "If the device was set up anew, forget the old key: {forget}",
    ),
    _Meaning(
        "Host key verification failed",
        "The host key of {host} is unknown here.",
        "Connect once by hand and compare it: ssh {where}",
    ),
    _Meaning(
        r"Permission denied \(|Too many authentication failures",
        "{host} does not let this user in: {said}.",
        "A key must do, without a password being asked: ssh-copy-id {where}, or name one: `identity=FILE`",
    ),
    _NO_HOST,
    _Meaning(
        r"Bad configuration option|Bad owner or permissions|terminating, \d+ bad|keyword .* extra arguments",
        "ssh refuses its configuration: {said}.",
        "Mend your ssh config; this must work: ssh {where} true",
    ),
)
_NO_FOLDER = _Meaning("", "The working folder on {host} cannot be made: {said}.", "Name another: `workdir=/path`")
_NO_SHELL = _Meaning(
    "",
    "{host} lets this user in but runs no commands: {said}.",
    "See the login shell there and its start-up files (.bashrc, .cshrc); this must work: ssh {where} true",
)


def refusal(
    to: Destination, said: str, status: int | None, *, known: bool = False
) -> DeviceError | TransientDeviceError:
    """Why a connection could not be made; ``known``: it was before, so that a name that leads nowhere may do so again.

    ``said`` is ssh's standard error, in English; ``status`` is its exit status, None if it was still trying.
    """
    meaning = _lasting(said, status)
    if meaning is None or (known and meaning is _NO_HOST):
        why = last_line(said) or "no answer in time"
        return TransientDeviceError(
            f"{to.name} cannot be reached: {why}.",
            remedy="Check that it is switched on, in the network, and runs sshd.",
        )
    return _lasting_error(meaning, to, said)


def unanswered(to: Destination, said: str) -> DeviceError:
    """A command that was not run, over a link that works."""
    return _lasting_error(_NO_SHELL, to, said)


def broken(to: Destination, said: str) -> TransientDeviceError:
    """A link that was there and is no more."""
    return TransientDeviceError(f"The link to {to.name} broke: {last_line(said) or 'ssh ended'}.")


def _lasting_error(meaning: _Meaning, to: Destination, said: str) -> DeviceError:
    words = {
        "host": to.name,
        "where": to.typed,
        "said": last_line(said) or "it says nothing",
        "forget": _forget(said) or f"ssh-keygen -R {shlex.quote(to.name)}",
    }
    return DeviceError(meaning.message.format(**words), remedy=meaning.remedy.format(**words))


def _lasting(said: str, status: int | None) -> _Meaning | None:
    if status == FOLDER_STATUS:
        return _NO_FOLDER
    if status not in {None, LINK_STATUS}:
        return _NO_SHELL
    return next((meaning for meaning in _LASTING if re.search(meaning.pattern, said)), None)


def _forget(said: str) -> str | None:
    """The line that ssh itself prints to forget a changed host key: it knows the file and the name."""
    found = re.search(r"^\s*(ssh-keygen -f [\x20-\x7e]+ -R [\x20-\x7e]+?)\s*$", said, re.MULTILINE)
    return found[1] if found else None
