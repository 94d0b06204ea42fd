"""What a model file was given as input while it was measured."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from edgewidth.documents import Record


class Fill(StrEnum):
    """Where the values of an input come from."""

    RANDOM = "random"
    ZEROS = "zeros"
    GIVEN = "given"


class ModelInput(Record):
    """One input of a model file as it was measured."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name of the type, or ``string``."""
    values: Fill
    opened: bool = False
    """Whether the file leaves sizes open, so that this shape is one of many; an open batch of 1 is none."""

    def __str__(self) -> str:
        sizes = "×".join(map(str, self.shape)) or "one number"
        return f"{self.name} {sizes} {self.dtype}, {self.values}"


class Entry(NamedTuple):
    """A graph of a file that can be run by itself: a signature's or, in a file without any, just a graph."""

    name: str
    graph: int
    """Its place in the file."""
    tensors: tuple[int, ...]
    """The places of its inputs among the tensors of the graph."""
    is_signature: bool


class Feed(NamedTuple):
    """Everything that a model is given."""

    inputs: tuple[ModelInput, ...]
    values: bytes = b""
    """An ``.npz`` with the values of the inputs that are given, by their place; empty if none are."""
    entry: Entry | None = None
    """Where the model is entered; None: where its runtime does by itself."""
