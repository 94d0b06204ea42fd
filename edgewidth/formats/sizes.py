"""How large a model file will be, before it is made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.costs import CostFactor, element_factors, summed
from edgewidth.graph.widths import lengths
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.widths import Axes, Widths


class StoredArray(NamedTuple):
    """An array in a file whose length follows the widths.

    It begins at a multiple of ``alignment`` bytes, with ``head`` bytes before it.
    """

    axes: Axes
    element_bytes: int
    head: int = 0
    alignment: int = 1

    def bytes_at(self, widths: Widths) -> int:
        """How many bytes it takes, with those up to the next array."""
        own = math.prod(lengths(self.axes, widths)) * self.element_bytes + self.head
        return -(-own // self.alignment) * self.alignment

    def factors(self, space: SearchSpace) -> Iterator[CostFactor]:
        """The same as a sum of functions of few width variables; where it is aligned and has many, an upper bound."""
        factors = list(element_factors(space, self.axes, self.element_bytes))
        if len(factors) == 1:
            scope, values = factors[0]
            yield CostFactor(scope, np.ceil((values + self.head) / self.alignment) * self.alignment)
            return
        yield from factors
        yield CostFactor((), np.array(float(self.head + self.alignment - 1)))


class FileSize(NamedTuple):
    """What a file is made of: bytes that are the same at all widths, and arrays."""

    fixed: int
    arrays: tuple[StoredArray, ...]

    def bytes_at(self, widths: Widths) -> int:
        """How large the file is, exactly or a few bytes less."""
        return self.fixed + sum(array.bytes_at(widths) for array in self.arrays)

    def factors(self, space: SearchSpace) -> tuple[CostFactor, ...]:
        """The size as a sum of functions of few width variables each."""
        fixed = CostFactor((), np.array(float(self.fixed)))
        return summed((fixed, *(factor for array in self.arrays for factor in array.factors(space))))


METADATA_BYTES = 2_000
"""Normalisation and descriptions in an emitted file; at most, measured with both formats."""


def metadata_bytes(output_names: Sequence[str]) -> int:
    """What the description of input and output adds to a file, at most, with each output's name once as JSON."""
    return METADATA_BYTES + sum(len(json.dumps(name)) + len("  ,\n") for name in output_names)


def element_bytes(precision: Precision) -> int:
    """The bytes of one element of an activation."""
    return 1 if precision is Precision.INT8 else 4
