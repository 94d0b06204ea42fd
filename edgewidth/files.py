"""Writing files so that a killed program never leaves half of one."""

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
