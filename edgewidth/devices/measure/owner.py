"""Which process holds a claim, told from a later one that has the same id."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """The text that a claim of this process is known by."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process began: a number that a later process of the same id does not share; empty if it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return status.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_another_alive(owner: str) -> bool:
    """Whether another process on this machine holds a claim; one on another machine cannot be asked."""
    if not owner or owner == this_process():
        return False
    host, pid, started = owner.split(":")
    return host == socket.gethostname() and started != "" and _started(int(pid)) == started
