"""Standard output and error as they may be: closed, full, in an encoding that lacks a character, or whole."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, TextIO

import click

from edgewidth.errors import OutputError
from edgewidth.progress import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from typing_extensions import Buffer

PLAIN = {
    "→": "->",
    "…": "...",
    "–": "-",
    "—": "-",
    "±": "+-",
    "×": "x",
    "°": "deg ",
    "µ": "u",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "·": "-",
    "−": "-",
    "━": "-",
    "╸": "-",
    "╺": "-",
}
"""What stands for characters that an encoding lacks, where taking their accents off does not help."""
_ERRORS = "edgewidth-plain"
_ESCAPED_BYTES = range(0xDC80, 0xDD00)
"""How Python holds the bytes of a file's name that are no text in its encoding."""


def prepare() -> None:
    """Make standard output and error such that printing fails with a sentence or not at all."""
    _open_closed()
    codecs.register_error(_ERRORS, _plainly)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Unheard(2, "w", closefd=False), sys.stderr)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text as it is, but for what a terminal would obey: devices and files of other people have their words."""
    click.echo(harmless(text), err=err, nl=nl)


def console(*, stderr: bool) -> Console:
    """Where tables and bars are drawn: brackets and colons in a text are the text's own, and no marks of rich's."""
    from rich.console import Console  # noqa: PLC0415  errors are told without it

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


@contextmanager
def printing_aside() -> Iterator[None]:
    """Let what a user's own code prints go to standard error: standard output holds the answer alone, such as JSON."""
    with redirect_stdout(sys.stderr):
        yield


def flush() -> None:
    """Write what is still to be written.

    Raises:
        OutputError: Standard output takes no more.
        BrokenPipeError: Nobody reads it any more.
    """
    sys.stdout.flush()


def give_up_output() -> None:
    """What is still to be written goes nowhere: Python would complain once more when it flushes at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output(io.FileIO):
    """Standard output: where it is full, that is the user's to know, and no defect."""

    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"Standard output could not be written: {error.strerror}.", remedy="See where it leads to."
            ) from error


class _Unheard(io.FileIO):
    """Standard error: what it does not take is lost, since there is nowhere to say so."""

    def write(self, content: Buffer, /) -> int:
        with suppress(OSError):
            return super().write(content) or 0
        return memoryview(content).nbytes


def _open_closed() -> None:
    """Let what was closed lead nowhere: otherwise the next file to be opened gets its number, and what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=_ERRORS,
        line_buffering=raw.isatty() or isinstance(raw, _Unheard),
    )


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """What to print for the first character that cannot be: its bytes, its sign in ``PLAIN``, or it without accents."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if ord(character) in _ESCAPED_BYTES:
        return bytes([ord(character) - _ESCAPED_BYTES.start + 0x80]), error.start + 1
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character) or bare or "?", error.start + 1
