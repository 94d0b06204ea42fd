"""How results show themselves in notebooks, without knowing what draws them.

The package says at its door what does: the room with the report's pictures, which lies above the records and loads when
the first of them is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol


class Printer(Protocol):
    """What IPython prints with."""

    def text(self, text: str) -> None:
        """Print a text as it stands."""


class Shown:
    """A record that a notebook shows with its numbers and pictures."""

    renderer: ClassVar[Callable[[Shown], str]]
    """Makes HTML of a record, every outside string escaped."""

    def _repr_html_(self) -> str:
        """What notebooks ask for."""
        return Shown.renderer(self)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        """What stands beside it in the notebook's file, and in IPython's terminal: all values would be a book."""
        del cycle
        printer.text(f"<{type(self).__name__}: {', '.join(vars(self))}>")
