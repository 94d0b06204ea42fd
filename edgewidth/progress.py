"""How lengthy work reports its progress, without knowing who listens.

The rooms below take a ``Progress``; the command line passes one that draws bars, tests and library users
pass nothing and get silence.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work with a known or unknown length."""

    def advance(self, steps: float = 1) -> None:
        """Say that ``steps`` more of the total are done."""

    def total(self, total: float) -> None:
        """Correct the total, once it is known better."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the current loss."""


class Progress(Protocol):
    """Where work reports to."""

    def task(self, title: str, total: float | None = None) -> AbstractContextManager[Task]:
        """A bar that lives as long as the ``with`` block; ``total`` None: length unknown."""

    def say(self, text: str) -> None:
        """One line for a person, on standard error."""


class _SilentTask:
    def advance(self, steps: float = 1) -> None:
        """Nothing."""

    def total(self, total: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Silent:
    """A ``Progress`` that says nothing."""

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[Task]:
        """A task that nobody sees."""
        del title, total
        yield _SilentTask()

    def say(self, text: str) -> None:
        """Nothing."""


SILENT: Progress = Silent()


class Named:
    """A ``Progress`` that says of whom it tells, where several work side by side."""

    def __init__(self, name: str, inner: Progress) -> None:
        self._name, self._inner = name, inner

    def task(self, title: str, total: float | None = None) -> AbstractContextManager[Task]:
        """A task with the name before its title, unless that has it."""
        return self._inner.task(self._named(title), total)

    def say(self, text: str) -> None:
        """One line, likewise."""
        self._inner.say(self._named(text))

    def _named(self, text: str) -> str:
        return text if self._name in text.split() else f"{self._name}: {text}"


class Lines(Silent):
    """A ``Progress`` without bars: what is said, as plain lines."""

    def say(self, text: str) -> None:
        """One line on standard error."""
        sys.stderr.write(f"{harmless(text)}\n")
        sys.stderr.flush()


def harmless(text: str) -> str:
    """The text without characters that a terminal obeys, which names in files of other people may hold."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text)


def times_text(seconds: Mapping[str, float]) -> str:
    """What took how long, the longest first: ``train 2 min 10 s, profile 41 s``."""
    longest = sorted(seconds.items(), key=lambda one: -one[1])
    return ", ".join(f"{what} {duration_text(took)}" for what, took in longest)


def duration_text(seconds: float) -> str:
    """``42 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
