"""Commands through whatever shell a user logs in with, and their answers apart from all that its start-up files print.

The login shell may be a csh or a fish, which understand a POSIX shell's quotes differently. So it gets to see one
command whose words are of harmless characters: the real one, as octal codes, for ``sh`` to decode. What that prints
stands between marks made anew for every command, and its exit status stands behind the last of them.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Sequence

from edgewidth.devices.reach.transport import Completed

NOISE_BYTES = 100_000
"""A login may print this much before our own command answers."""
_HARMFUL = re.compile(r"[^A-Za-z0-9 _@%+=:,./-]")
_PIECE = re.compile(r"(?:\\\d{4}|[^\\]){1,100}")
"""Words of at most 500 characters, because an old csh takes none of more than a thousand; no code is cut in two."""
_DECODE = 'sh -c \'eval "$(printf %b "$@")"\' sh'
_FRAME = (
    'mark=$0; printf %s "$mark"; printf %s "$mark" >&2; sh -c "$@"; status=$?; '
    'printf %s "$mark"; printf "%s=%d;" "$mark" "$status" >&2; exit "$status"'
)


def make_mark() -> str:
    """A text that no device prints by chance."""
    return f"edgewidth-{secrets.token_hex(8)}"


def plain_line(script: str, words: Sequence[str]) -> str:
    """One line for any login shell that runs a POSIX shell script with words as its ``$1`` and so on."""
    return _encoded(["sh", "-c", script, "sh", *words])


def framed_line(script: str, words: Sequence[str], mark: str) -> str:
    """The same, with what it prints between marks."""
    return _encoded(["sh", "-c", _FRAME, mark, script, "sh", *words])


def unframed(done: Completed, mark: str) -> Completed | None:
    """How the command itself ended and what it printed; None: it did not come to its end."""
    between, _, end = done.stderr.rpartition(f"{mark}=".encode())
    status = re.match(rb"(\d+);", end)  # a start-up file may have left something to be printed at the end
    if status is None or not between:
        return None
    stdout = done.stdout.partition(mark.encode())[2].rpartition(mark.encode())[0]
    return Completed(int(status[1]), stdout, between.rpartition(mark.encode())[2])


def _encoded(words: Sequence[str]) -> str:
    line = _HARMFUL.sub(lambda found: "".join(f"\\0{byte:03o}" for byte in os.fsencode(found[0])), shlex.join(words))
    pieces = _PIECE.findall(f"exec {line}")
    return " ".join([_DECODE, *(f"'{piece}'" for piece in pieces)])
