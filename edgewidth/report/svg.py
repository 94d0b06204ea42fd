"""Small pictures as inline SVG: scales, axes and marks.

Colours, fonts and strokes are the page's style sheet's business: marks only name their class, so one picture
serves light, dark and print. ElementTree builds the markup, and escapes every text that comes from outside.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from markupsafe import Markup

from edgewidth.report.units import MINUS

Point = tuple[float, float]
Shape = Literal["circle", "square", "diamond", "triangle", "cross"]
Anchor = Literal["start", "middle", "end"]


class Scale(NamedTuple):
    """A linear map from values ``low`` … ``high`` to pixels ``start`` … ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside are drawn at the nearer edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About ``count`` round values within the scale, a step of 1, 2 or 5 times a power of ten apart."""
        step = _round_step((self.high - self.low) / max(count, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    factor = raw / power
    return power * (1 if factor < 1.5 else 2 if factor < 3.5 else 5 if factor < 7.5 else 10)


def covering(
    values: Iterable[float], *, pad: float = 0.06, zero: bool = False, most: float = math.inf
) -> tuple[float, float]:
    """A range that holds all values with some air around; ``zero`` makes it begin at 0, and it ends at ``most``."""
    known = list(values) or [0.0, 1.0]
    low, high = (0.0 if zero else min(known)), max(known)
    air = (high - low) * pad or abs(high) * pad or 1.0
    return (low if zero else low - air), min(high + air, most)


class Picture:
    """An SVG drawing of ``width`` by ``height`` pixels that scales with the page.

    ``label`` is what a person sees who does not see: the picture's text alternative.
    """

    def __init__(self, label: str, width: float, height: float) -> None:
        self.width, self.height = width, height
        size = f"0 0 {width:g} {height:g}"
        self._root = ET.Element("svg", {"viewBox": size, "role": "img", "aria-label": label, "class": "picture"})

    def markup(self) -> Markup:
        """The drawing as it stands in the page."""
        # ElementTree has escaped every text and attribute.
        return Markup(ET.tostring(self._root, encoding="unicode"))  # noqa: S704

    def _add(self, tag: str, kind: str, hint: str | None, **attributes: float | str) -> ET.Element:
        named = {key.replace("_", "-"): _number(value) for key, value in attributes.items()}
        element = ET.SubElement(self._root, tag, {"class": kind, **named})
        if hint:
            ET.SubElement(element, "title").text = hint
        return element

    def text(self, at: Point, text: str, kind: str = "tick", *, anchor: Anchor = "start") -> None:
        """A line of text whose baseline begins, is centred or ends at a point."""
        self._add("text", kind, None, x=at[0], y=at[1], text_anchor=anchor).text = text

    def line(self, start: Point, end: Point, kind: str, *, hint: str | None = None) -> None:
        """A straight line."""
        self._add("line", kind, hint, x1=start[0], y1=start[1], x2=end[0], y2=end[1])

    def bar(self, corner: Point, size: Point, kind: str, *, hint: str | None = None, radius: float = 0) -> None:
        """A rectangle from its upper left corner."""
        self._add(
            "rect", kind, hint, x=corner[0], y=corner[1], width=max(size[0], 0), height=max(size[1], 0), rx=radius
        )

    def heat(self, corner: Point, size: Point, strength: float, *, hint: str | None = None) -> None:
        """A rectangle as strong in colour as ``strength``, from 0 to 1."""
        self._add("rect", "heat", hint, x=corner[0], y=corner[1], width=size[0], height=size[1], fill_opacity=strength)

    def path(self, points: Sequence[Point], kind: str, *, closed: bool = False) -> None:
        """Points joined by straight lines."""
        if points:
            steps = "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
            self._add("path", kind, None, d=f"M{steps}{'Z' if closed else ''}")

    def dust(self, points: Iterable[Point], kind: str) -> None:
        """Very many small dots as one path of zero-length strokes with round ends; to a tenth of a pixel."""
        if strokes := "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points):
            self._add("path", f"dust {kind}", None, d=strokes)

    def mark(self, at: Point, kind: str, *, shape: Shape = "circle", size: float = 5, hint: str | None = None) -> None:
        """One point of data; shapes differ so that no meaning hangs on colour alone."""
        x, y = at
        if shape == "circle":
            self._add("circle", kind, hint, cx=x, cy=y, r=size)
            return
        outline = {
            "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
            "triangle": [(0, -1.2), (1.1, 0.85), (-1.1, 0.85)],
            "cross": [(-0.9, -0.9), (0.9, 0.9), (0, 0), (-0.9, 0.9), (0.9, -0.9)],
        }[shape]
        steps = "L".join(f"{_number(x + dx * size)} {_number(y + dy * size)}" for dx, dy in outline)
        self._add("path", f"{kind} {shape}", hint, d=f"M{steps}{'' if shape == 'cross' else 'Z'}")


class Axes(NamedTuple):
    """The two scales of a plot."""

    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> Point:
        """The pixel of a pair of values."""
        return self.x(x), self.y(y)

    def draw(
        self,
        picture: Picture,
        *,
        x_label: str,
        y_label: str,
        x_ticks: int = 6,
        y_ticks: int = 5,
        signed: bool = False,
    ) -> None:
        """Grid lines with their values, and what they are, with units, where reading begins.

        ``x_ticks`` 0: the picture has its own words along the horizontal axis.
        """
        left, right = self.x.start, self.x.end
        bottom = self.y.start
        y_values, x_values = self.y.ticks(y_ticks), self.x.ticks(x_ticks) if x_ticks else []
        for value, text in zip(y_values, tick_texts(y_values, signed=signed), strict=True):
            picture.line((left, self.y(value)), (right, self.y(value)), "grid")
            picture.text((left - 8, self.y(value) + 4), text, anchor="end")
        for value, text in zip(x_values, tick_texts(x_values), strict=True):
            picture.line((self.x(value), bottom), (self.x(value), bottom + 4), "axis")
            picture.text((self.x(value), bottom + 18), text, anchor="middle")
        picture.line((left, bottom), (right, bottom), "axis")
        picture.text((2, self.y.end - 16), y_label, "axis-label")
        picture.text((right, bottom + 36), x_label, "axis-label", anchor="end")


def axes(
    picture: Picture,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    left: float = 48,
    right: float = 12,
    top: float = 34,
    bottom: float = 44,
) -> Axes:
    """Axes that leave these margins; values grow to the right and upward."""
    return Axes(
        Scale(*x_range, left, picture.width - right),
        Scale(*y_range, picture.height - bottom, top),
    )


def tick_texts(values: Sequence[float], *, signed: bool = False) -> list[str]:
    """Values of one axis with equally many decimals, as few as tell them apart; with a true minus sign."""
    step = min((b - a for a, b in pairwise(values)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    texts = [f"{value + 0.0:{'+' if signed and abs(value) > step / 2 else ''}.{decimals}f}" for value in values]
    return [text.replace("-", MINUS) for text in texts]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
