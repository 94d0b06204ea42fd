"""Writing files so that a killed program never leaves half of one, and where files are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edgewidth.errors import StorageError


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``: afterwards the file is either as before or whole.

    Raises:
        StorageError: The folder cannot be written or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; what a run writes is as readable as the user's other files.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} could not be written: {reason}.",
            remedy="Choose a folder on a disk that can be written and has space; what was done so far stays.",
        ) from error


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
