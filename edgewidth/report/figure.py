"""A picture with everything that must stand beside it: a caption, a key, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from edgewidth.report.svg import Picture, Shape

if TYPE_CHECKING:
    from markupsafe import Markup

WIDE, NARROW, HALF = 940.0, 360.0, 460.0
"""Widths in pixels: across the page, across a phone, and half a page (which a phone shows a little smaller)."""


class Key(NamedTuple):
    """One entry of a picture's legend."""

    text: str
    kind: str
    shape: Shape | Literal["line", "band"]

    def swatch(self) -> Markup:
        """What the entry looks like in the picture."""
        picture = Picture("", 22, 14)
        if self.shape == "line":
            picture.line((1, 7), (21, 7), self.kind)
        elif self.shape == "band":
            picture.bar((1, 1), (20, 12), self.kind)
        else:
            picture.mark((11, 7), self.kind, shape=self.shape)
        return picture.markup()


class Numbers(NamedTuple):
    """What the picture shows, for those who read or cannot see."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Figure(NamedTuple):
    """A picture in the page; ``narrow`` None: ``wide`` is small enough for a phone."""

    title: str
    caption: str
    wide: Markup
    narrow: Markup | None
    keys: tuple[Key, ...]
    numbers: Numbers | None


class Style(NamedTuple):
    """How a method is drawn wherever it appears."""

    kind: str
    shape: Shape


_STYLES = {
    "chosen": Style("chosen", "circle"),
    "uniform": Style("uniform", "square"),
    "uniform 1.0": Style("uniform hollow", "square"),
    "lagrangian": Style("violet", "triangle"),
    "greedy": Style("green", "diamond"),
    "evolutionary": Style("sky", "cross"),
}


def style_of(method: str) -> Style:
    """The style of a search method; methods that the report does not know share one."""
    return _STYLES.get(method, Style("plain", "triangle"))


def drawn(draw: Callable[[float], Picture]) -> tuple[Markup, Markup]:
    """The same picture across a page and across a phone."""
    return draw(WIDE).markup(), draw(NARROW).markup()
