"""What a document was made of, and in what two things that were made differ.

Everything that a stage makes says what it was made of: the digests of its inputs and the options that mattered, each
by its name. These are its *facts*. Whoever is about to use or to make something has facts of its own, as far as they
are known. Two things belong together where no fact that both have differs; that is the whole rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from edgewidth.documents import Document, Record
from edgewidth.errors import FileError
from edgewidth.graph.space import SearchSpace
from edgewidth.records.budget import Budget

Option = str | int | float | None
Facts = dict[str, object]
"""What something was made of, by name. Names mean the same everywhere."""

NONE, SOME = "none", "some"
"""``NONE`` stands for an input that was not given, ``SOME`` for one that older documents do not identify: it agrees
with every input but ``NONE``."""

_READABLE = 120
"""Longer values are not told, only that they differ."""
_OWN = {
    "space": "search space",
    "config": "configuration",
    "device": "device",
    "statistic": "statistic",
    "budget": "budget",
    "max_int8_drop_points": "max_int8_drop_points",
}
"""The fields of documents that are facts as they stand, and how these are named."""


@dataclass(frozen=True)
class Digest:
    """What tells an input's content from any other. The same content under another name is the same."""

    value: str
    name: str = field(default="", compare=False)
    """Where the content is from, for messages."""
    changed: str = field(default="", compare=False)
    """What is said where the content under the same name has changed."""


class Provenance(Record):
    """What a document was made of, beside what its other fields say.

    It is empty in documents of older versions, and of trainings in a loop of someone's own: they are judged by their
    other fields.
    """

    inputs: dict[str, str] = Field(default_factory=dict)
    """Digests of what was used."""
    options: dict[str, Option] = Field(default_factory=dict)
    """The values of the options that mattered."""

    def extended(self, inputs: Mapping[str, str], options: Mapping[str, Option] | None = None) -> Provenance:
        """The same with further inputs and options."""
        return Provenance(inputs=self.inputs | dict(inputs), options=self.options | dict(options or {}))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that differ when anything that was used differs."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def made_of(self) -> Facts:
        """Inputs and options together."""
        return {**{name: Digest(value) for name, value in self.inputs.items()}, **self.options}


class Made(Document):
    """A document that a stage has made."""

    provenance: Provenance = Provenance()

    @property
    def made_of(self) -> Facts:
        """What it was made of, as far as it says."""
        own = {name: value for field, name in _OWN.items() if (value := getattr(self, field, None)) is not None}
        setting = getattr(self, "setting", None)
        return own | (setting.facts if setting else {}) | self.provenance.made_of


class Difference(NamedTuple):
    """One fact that differs, in words: ``seed: 0 here, 1 there``, and ``seed was 1, now 0``."""

    side_by_side: str
    since: str

    def __str__(self) -> str:
        return self.side_by_side


def differences(here: Facts, there: Facts) -> list[Difference]:
    """The facts of two things that differ, of those that both have; empty where they belong together."""
    return [
        _difference(name, here[name], there[name])
        for name in here
        if name in there and not _agree(here[name], there[name])
    ]


def _agree(here: object, there: object) -> bool:
    if isinstance(here, Budget) and isinstance(there, Budget):
        return here.is_about(there)
    if SOME in {str(here), str(there)}:
        return NONE not in {str(here), str(there)}
    return here == there


def _difference(name: str, here: object, there: object) -> Difference:
    match here, there:
        case SearchSpace(), SearchSpace():
            return _alike(here.differences(there))
        case Digest(), Digest() if here.name and there.name and here.name != there.name:
            here, there = here.name, there.name
        case Digest(), _:
            return _alike(here.changed or f"{name}: not the same")
    if max(len(str(here)), len(str(there))) > _READABLE:
        return _alike(f"{name}: not the same")
    return Difference(f"{name}: {here} here, {there} there", f"{name} was {there}, now {here}")


def _alike(text: str) -> Difference:
    return Difference(text, text)


def file_digest(path: Path) -> str:
    """16 hexadecimal digits that differ when anything in a file differs; raises as ``whole_digest``."""
    return whole_digest(path)[:16]


def whole_digest(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits.

    Raises:
        FileError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FileError(
            f"{path} could not be read: {error.strerror}.", remedy="Give a file that is there and may be read."
        ) from error
