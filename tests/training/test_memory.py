"""Freed memory is kept: pages that were touched once are not asked for again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from edgewidth.training.loop.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)

def step():
    return [torch.full((1 << 20,), 1.0) for _ in range(8)]

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""How many pages are asked for by what holds eight blocks of 4 MiB at once and frees them all, again and again."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_freed_memory_is_not_asked_for_again() -> None:
    # By itself the allocator keeps more or less, as it comes; with these it gives everything back.
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    faults = {}
    for how in ("as it is", "kept"):
        command = [sys.executable, "-c", FAULTS, how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        faults[how] = int(done.stdout)
    pages = 20 * 8 * (4 << 20) // 4096
    assert faults["as it is"] > pages / 4
    assert faults["kept"] < pages / 1000
