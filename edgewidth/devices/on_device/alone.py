"""One runner at a time measures on a device: two at once would disturb each other. Python 3.9 and later."""

from __future__ import annotations

import contextlib
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


class Alone:
    """The right to measure on a device: an advisory lock on a file in the device's working folder.

    The system takes it from a process that is killed. The file says which process holds it, and goes with the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BinaryIO | None = None

    def take(self) -> bool:
        """Whether this runner has the device, now or since before."""
        if self._lock is None:
            lock = self.path.open("a+b")
            if try_lock(lock) and self._is_at_path(lock):
                self._lock = lock
                lock.truncate(0)
                lock.write(str(os.getpid()).encode())
                lock.flush()
            else:
                lock.close()
        return self._lock is not None

    def leave(self) -> None:
        """Let others have the device."""
        if self._lock is not None:
            self.path.unlink(missing_ok=True)
            # Said, since forked processes that are kept hold the open file too.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._lock.close()
            self._lock = None

    def holder(self) -> str:
        """The number of the process that has the device."""
        with contextlib.suppress(OSError):
            return self.path.read_text(encoding="ascii", errors="replace")[:20] or "unknown"
        return "unknown"  # it is just changing

    def _is_at_path(self, lock: BinaryIO) -> bool:
        """Whether a lock is the one that others see: who had it before may have removed the file meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(lock.fileno()), self.path.stat())
        return False


def try_lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False: somebody else has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
