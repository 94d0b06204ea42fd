"""Writing files so that a killed program never leaves half of one, and where files are kept between runs."""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from edgewidth.errors import StorageError

ARCHIVE_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What reading a .zip, or an .npz that is one, raises where it is damaged, encrypted, or packed in unusual ways."""
_PART = ".edgewidth-part"
"""How the name ends of a file that is being written."""
_ALIVE = ".alive"
"""The file in a temporary folder that is locked for as long as the program lives that made it."""
_NEW_S = 60.0
"""Younger folders may not have their lock yet."""
_SHORT = 40


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``: afterwards the file is either as before or whole.

    Raises:
        StorageError: The folder cannot be written or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; what a run writes is as readable as the user's other files.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} could not be written: {reason}.",
            remedy="Choose a folder on a disk that can be written and has space; what was done so far stays.",
        ) from error
    finally:  # an interrupt is no error, and leaves no half file either
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what killed programs left half written in a folder; nobody else may be writing there."""
    for part in folder.glob(f".*{_PART}"):
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for the length of a block, readable by this user alone, with a path short enough for sockets.

    One that a killed program left behind is removed by the next that needs one.

    Raises:
        StorageError: There is none that can be written.
    """
    try:
        usual = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise StorageError(f"{error.strerror}.", remedy="Free space there, or set TMPDIR to another folder.") from error
    place = usual if len(usual) < _SHORT else "/tmp"  # noqa: S108 - random name, mode 0700
    _remove_abandoned(Path(place))
    with tempfile.TemporaryDirectory(prefix="ew-", dir=place) as name, (Path(name) / _ALIVE).open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        yield Path(name)


def alive_file(path: Path) -> Path | None:
    """The file that a program has locked as long as the temporary folder lasts in which a path is; None: in none."""
    return next((folder / _ALIVE for folder in path.parents if (folder / _ALIVE).exists()), None)


@cache
def _remove_abandoned(place: Path) -> None:
    """Remove the temporary folders of programs that live no more: their locks are free."""
    for alive in place.glob(f"ew-*/{_ALIVE}"):
        with contextlib.suppress(OSError):  # another user's, or another program is removing it
            if alive.stat().st_uid != os.getuid() or time.time() - alive.stat().st_mtime < _NEW_S:
                continue
            with alive.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(alive.parent, ignore_errors=True)


def cache_folder() -> Path:
    """Where edgewidth keeps what can be made again, such as converted networks and emulated boards.

    ``$EDGEWIDTH_CACHE`` if it is set, else ``edgewidth`` in the user's cache folder (``$XDG_CACHE_HOME``
    or ``~/.cache``).

    Raises:
        StorageError: The user has no home folder, and neither variable is set.
    """
    if own := os.environ.get("EDGEWIDTH_CACHE"):
        return in_home(own)
    return in_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "edgewidth"


def in_home(path: str) -> Path:
    """A path, where ``~`` is the user's home folder.

    Raises:
        StorageError: There is no such user, or this one has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise StorageError(
            f"There is no home folder that ~ could mean in {path}.",
            remedy="Write whole paths, and set HOME, or EDGEWIDTH_CACHE=/path for what edgewidth keeps.",
        ) from error
