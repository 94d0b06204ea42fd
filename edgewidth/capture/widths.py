"""Which channels of a captured network are the same channels, and which of them cannot vary: a union-find.

Every layer that makes channels makes a segment. Walking the graph, segments that must agree are united, those that
other layers tell apart are divided, and those that must stay as they are become fixed, with the reason in words.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Names = tuple[str, ...]
"""The segments along the channels of one tensor, in order."""


class Segments:
    """The channel segments of one network. What is united or divided is so wherever a segment lies."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._united: dict[str, str] = {}
        """A segment that is the same as another one, by which both are known."""
        self._parts: dict[str, Names] = {}
        """What a segment was divided into."""
        self._reasons: dict[str, str] = {}

    def new(self, size: int) -> str:
        """A segment of ``size`` channels that agrees with no other one yet."""
        name = f"s{len(self._sizes)}"
        self._sizes[name] = size
        return name

    def size(self, name: str) -> int:
        """How many channels a segment has in the network as it was captured."""
        return self._sizes[name]

    def reason(self, name: str) -> str | None:
        """Why a segment that ``resolve`` gave cannot vary; None: it can."""
        return self._reasons.get(name)

    def resize(self, name: str, size: int) -> None:
        """Give a segment that ``resolve`` gave another number of channels."""
        self._sizes[name] = size

    def resolve(self, names: Sequence[str]) -> Names:
        """The same channels as they are known now: one name for all that agree, and parts for what was divided."""
        found: list[str] = []
        for name in names:
            root = self._root(name)
            found += self.resolve(self._parts[root]) if root in self._parts else (root,)
        return tuple(found)

    def fix(self, names: Sequence[str], reason: str) -> None:
        """Keep channels as they are; the first reason counts."""
        for name in self.resolve(names):
            self._reasons.setdefault(name, reason)

    def unite(self, first: Sequence[str], second: Sequence[str]) -> None:
        """Make channels the same that lie side by side in two tensors of equally many.

        Where a segment of one ends and none of the other does, the other's is divided.
        """
        ours, theirs = list(first), list(second)
        while ours and theirs:
            ours[:1], theirs[:1] = self.resolve(ours[:1]), self.resolve(theirs[:1])
            least = min(self.size(ours[0]), self.size(theirs[0]))
            (mine,), (other,) = (self._begin(names, least) for names in (ours, theirs))
            self._unite(mine, other)

    def between(self, names: Sequence[str], start: int, stop: int) -> Names:
        """The channels from number ``start`` to before ``stop``, counted from 0; where none begins, one is divided."""
        rest = list(names)
        self._begin(rest, start)
        return self._begin(rest, stop - start)

    def ends(self, names: Sequence[str]) -> list[int]:
        """Behind which channel each segment ends, and 0 before them."""
        return list(accumulate(map(self.size, self.resolve(names)), initial=0))

    def _begin(self, names: list[str], channels: int) -> Names:
        """Take the first channels away from a list of segments, dividing one where that is needed."""
        taken: list[str] = []
        while channels:
            names[:1] = self.resolve(names[:1])
            if self.size(names[0]) > channels:
                self._divide(names[0], channels)
                names[:1] = self.resolve(names[:1])
            taken.append(names.pop(0))
            channels -= self.size(taken[-1])
        return tuple(taken)

    def _divide(self, name: str, channels: int) -> None:
        parts = self.new(channels), self.new(self.size(name) - channels)
        self._parts[name] = parts
        if name in self._reasons:
            self.fix(parts, self._reasons[name])

    def _unite(self, first: str, second: str) -> None:
        kept, gone = self.resolve((first,)), self.resolve((second,))
        if kept == gone:
            return
        self._united[gone[0]] = kept[0]
        if gone[0] in self._reasons:
            self._reasons.setdefault(kept[0], self._reasons[gone[0]])

    def _root(self, name: str) -> str:
        while name in self._united:
            name = self._united[name]
        return name
