"""Segments are united and divided as single channels would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.capture.widths import Segments

if TYPE_CHECKING:
    from edgewidth.capture.widths import Names


class Channels:
    """The same by brute force: every channel by itself."""

    def __init__(self) -> None:
        self.classes: list[int] = []

    def new(self, size: int) -> list[int]:
        first = len(self.classes)
        self.classes += range(first, first + size)
        return list(range(first, first + size))

    def unite(self, first: list[int], second: list[int]) -> None:
        for one, other in zip(first, second, strict=True):
            kept, gone = self.classes[one], self.classes[other]
            self.classes = [kept if found == gone else found for found in self.classes]


@pytest.mark.parametrize("seed", range(30))
def test_segments_are_what_single_channels_make(seed: int) -> None:
    """Random tensors, cut, joined and united: channels agree where the same offset of the same segment lies."""
    rng = np.random.default_rng(seed)
    segments, channels = Segments(), Channels()
    tensors: list[tuple[Names, list[int]]] = []
    for _ in range(4):
        size = int(rng.integers(2, 9))
        tensors.append(((segments.new(size),), channels.new(size)))
    for _ in range(12):
        (names, singles), (more, others) = (tensors[int(rng.integers(len(tensors)))] for _ in range(2))
        match int(rng.integers(3)):
            case 0:
                start, stop = sorted(rng.choice(len(singles) + 1, 2, replace=False).tolist())
                tensors.append((segments.between(names, start, stop), singles[start:stop]))
            case 1 if len(singles) + len(others) < 20:
                tensors.append(((*names, *more), singles + others))
            case _:
                both = min(len(singles), len(others))
                segments.unite(segments.between(names, 0, both), segments.between(more, 0, both))
                channels.unite(singles[:both], others[:both])
    places = [
        (name, offset)
        for names, _ in tensors
        for name in segments.resolve(names)
        for offset in range(segments.size(name))
    ]
    classes = [channels.classes[single] for _, singles in tensors for single in singles]
    assert len(places) == len(classes)
    assert len(set(places)) == len(set(classes)) == len(set(zip(places, classes, strict=True)))


def test_what_is_fixed_stays_so_with_its_first_reason() -> None:
    """Where it is united with others, and where it is divided."""
    segments = Segments()
    first, second = segments.new(6), segments.new(6)
    segments.fix((first,), "one")
    segments.fix((first,), "another")
    segments.unite((second,), (first,))
    parts = segments.resolve(segments.between((second,), 2, 5))
    assert [segments.size(name) for name in segments.resolve((first,))] == [2, 3, 1]
    assert {segments.reason(name) for name in parts} == {"one"}
