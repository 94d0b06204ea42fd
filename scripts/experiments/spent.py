"""The processor time of a piece of work that may be killed and gone on with."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgewidth.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgewidth.progress import Progress, Task


class Spent:
    """A ``Progress`` that passes on what it hears, and keeps the processor seconds of all starts in a file.

    They are written with every step, after which the work itself has kept what it did.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path, self._progress = path, progress
        self._before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else 0.0
        self._began = time.process_time()

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[Task]:
        """As ``Progress`` has it; what is spent until its end counts."""
        with self._progress.task(title, total) as task:
            yield _SpentTask(task, self)
        self.keep()

    def say(self, text: str) -> None:
        """As ``Progress`` has it."""
        self._progress.say(text)

    def keep(self) -> None:
        """Write what has been spent until now."""
        seconds = self._before + time.process_time() - self._began
        write_atomic(self._path, json.dumps({"seconds": seconds}).encode())


class _SpentTask:
    def __init__(self, task: Task, spent: Spent) -> None:
        self._task, self._spent = task, spent
        self.total, self.note = task.total, task.note

    def advance(self, steps: float = 1) -> None:
        self._task.advance(steps)
        self._spent.keep()
