"""Channels as tuples of segments, and what a configuration keeps of them.

A segment is a fixed number of channels, or the name of the width variable that says how many there are. A
concatenation joins tuples, an addition demands equal ones, and a configuration keeps the first channels of every
segment of the widest tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, NamedTuple

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Width = Annotated[int, Field(ge=1)]
Segment = Name | Width
Channels = tuple[Segment, ...]
"""The segments along one axis of a tensor, in order."""
Axes = tuple[Channels, ...]
"""All axes of a tensor; along those that hold no channels lies one fixed segment."""
Widths = Mapping[str, int]
"""The width of every width variable by its name."""


class TensorShape(NamedTuple):
    """What flows between layers: ``size`` is (height, width) in pixels, or empty for a vector."""

    size: tuple[int, ...]
    channels: Channels

    @property
    def pixels(self) -> int:
        """Elements of one channel."""
        return math.prod(self.size)

    def elements(self, widths: Widths) -> int:
        """Elements of the whole tensor."""
        return self.pixels * total(self.channels, widths)


def resolve(segment: Segment, widths: Widths) -> int:
    """How many channels a segment has."""
    return segment if isinstance(segment, int) else widths[segment]


def total(channels: Channels, widths: Widths) -> int:
    """How many channels all segments have together."""
    return sum(resolve(segment, widths) for segment in channels)


def lengths(axes: Axes, widths: Widths) -> tuple[int, ...]:
    """The shape of a tensor with these axes."""
    return tuple(total(axis, widths) for axis in axes)


def first_of_segments(channels: Channels, widths: Widths, widest: Widths) -> list[slice]:
    """Where the first channels of each segment, as many as ``widths`` says, lie in a tensor at ``widest``."""
    starts = accumulate((resolve(segment, widest) for segment in channels), initial=0)
    return [slice(start, start + resolve(segment, widths)) for start, segment in zip(starts, channels, strict=False)]


class Cuts(dict[Channels, tuple[slice, ...]]):
    """By any channels, where those lie that a configuration keeps of the widest: in as few slices as possible.

    Each is worked out when it is first asked for.
    """

    def __init__(self, widths: Widths, widest: Widths) -> None:
        super().__init__()
        self.widths, self._widest = widths, widest

    def __missing__(self, channels: Channels) -> tuple[slice, ...]:
        slices: list[slice] = []
        for part in first_of_segments(channels, self.widths, self._widest):
            start = slices.pop().start if slices and slices[-1].stop == part.start else part.start
            slices.append(slice(start, part.stop))
        self[channels] = tuple(slices)
        return self[channels]

    def of(self, axes: Axes) -> list[tuple[slice, ...]]:
        """Along every axis."""
        return [self[axis] for axis in axes]


def merged(channels: Channels) -> Channels:
    """The same channels with fixed segments that lie side by side as one."""
    found: list[Segment] = []
    for segment in channels:
        before = found[-1] if found else None
        if isinstance(segment, int) and isinstance(before, int):
            found[-1] = before + segment
        else:
            found.append(segment)
    return tuple(found)


def variables_of(channels: Channels) -> tuple[str, ...]:
    """The width variables among the segments, each once."""
    return tuple(dict.fromkeys(segment for segment in channels if isinstance(segment, str)))
