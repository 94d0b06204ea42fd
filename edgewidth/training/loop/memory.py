"""Memory between the steps of a training: kept, so that the next step need not ask the system for it."""

from __future__ import annotations

import contextlib
import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc calls the two in its ``malloc.h``."""
_KEPT_BYTES = 2**31 - 1
"""The most that its numbers can say."""
_MAPPED_BYTES = (2**30, 2**25)
"""From what size on a block is always the system's own: what is wanted, and the most that earlier versions allow."""


def keep_freed_memory() -> None:
    """Let the allocator of glibc keep what is freed; with any other one nothing is changed.

    Every layer's output is allocated anew in every step. Given back to the system in between, it comes as pages that
    have to be zeroed again one by one: a step of MobileNet-v1 at 32 px takes up to a seventh longer on one thread
    (``scripts/bench/steps.py``). What the process uses at most stays as it is.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        for size in _MAPPED_BYTES:
            if mallopt(_MMAP_THRESHOLD, size):
                break
