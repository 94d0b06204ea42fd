"""Progress on standard error: bars in a terminal, plain lines elsewhere; and of several processes one speaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from edgewidth.cli import terminal
from edgewidth.cli.wording import with_flags
from edgewidth.progress import SILENT, duration_text, harmless

if TYPE_CHECKING:
    from rich.console import Console

    from edgewidth.progress import Progress, Task
    from edgewidth.training.loop.processes import Processes

LINE_EVERY_S = 15.0
"""Where there is no terminal, a task says how far it is this often."""
TELLING = 0.1
"""The share of its steps by which it is known how long a task takes."""


class TerminalProgress:
    """Bars that live on standard error, several at once; one object serves the whole command."""

    def __init__(self) -> None:
        self._console = terminal.console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[Task]:
        """A bar, gone when it is done; a line says that it is."""
        started, title = time.monotonic(), harmless(title)
        if self._console.is_terminal:
            self._bars.start()
            self._open += 1
            bar = self._bars.add_task(title, total=total, note="")
            try:
                yield _Bar(self._bars, bar)
            finally:
                self._bars.remove_task(bar)
                self._open -= 1
                if not self._open:
                    self._bars.stop()
        else:
            yield _Lines(self._console, title, total)
        self.say(f"{title} · {duration_text(time.monotonic() - started)}")

    def say(self, text: str) -> None:
        """One line, above the bars."""
        self._console.print(harmless(with_flags(text)), soft_wrap=True)


def meet() -> tuple[Processes, Progress]:
    """The processes, and what this one reports to: nothing, unless it is the first."""
    from edgewidth.training.loop.processes import cpu_threads, join  # noqa: PLC0415  help stays instant

    processes = join()
    if not processes.is_first:
        return processes, SILENT
    progress = TerminalProgress()
    threads = cpu_threads() if processes.count > 1 else None
    if threads and threads.used != threads.fair:
        # torchrun lets every process have one thread unless it is told otherwise.
        progress.say(
            f"Each process computes on {threads.used} threads; OMP_NUM_THREADS={threads.fair} before torchrun "
            "would suit the cores of this machine."
        )
    return processes, progress


class _Bar:
    def __init__(self, bars: Bars, bar: TaskID) -> None:
        self._bars, self._bar = bars, bar

    def advance(self, steps: float = 1) -> None:
        self._bars.advance(self._bar, steps)

    def total(self, total: float) -> None:
        self._bars.update(self._bar, total=total)

    def note(self, text: str) -> None:
        self._bars.update(self._bar, note=harmless(text))


class _Lines:
    def __init__(self, console: Console, title: str, total: float | None) -> None:
        self._console, self._title, self._total = console, title, total
        self._done, self._note = 0.0, ""
        self._said = time.monotonic()
        self._first: tuple[float, float] | None = None

    def advance(self, steps: float = 1) -> None:
        self._done += steps
        now = time.monotonic()
        # What comes before the first step, such as a conversion, happens once.
        self._first = self._first or (now, self._done)
        if now - self._said < LINE_EVERY_S:
            return
        self._said = now
        line = f"{self._title}: {self._done:g}"
        if self._total:
            line += f" of {self._total:g}"
            since, before = self._first
            if self._done - before >= TELLING * self._total:
                left = (now - since) * (self._total - self._done) / (self._done - before)
                line += f", about {duration_text(max(left, 0.0))} left"
        line += f", {self._note}" if self._note else ""
        self._console.print(harmless(line), soft_wrap=True)

    def total(self, total: float) -> None:
        self._total = total

    def note(self, text: str) -> None:
        self._note = text
