"""How large a model file will be, before it is made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.costs import CostFactor, element_factors, summed
from edgewidth.graph.widths import lengths, variables_of
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


_MOST_IN_A_CHOICE = 2
"""On how many width variables a kernel of most layers depends; more would make the search expensive."""


class Choice(NamedTuple):
    """An array, or another in its place where a tensor with these ``axes`` has fewer than ``least`` elements."""

    axes: Axes
    least: int
    many: StoredArray
    few: StoredArray

    def bytes_at(self, widths: Widths) -> int:
        """As of ``StoredArray``."""
        chosen = self.few if math.prod(lengths(self.axes, widths)) < self.least else self.many
        return chosen.bytes_at(widths)

    def factors(self, space: SearchSpace) -> Iterator[CostFactor]:
        """The same as a sum of functions of few width variables; of a tensor with many, an upper bound."""
        names = {name for axis in self.axes for name in variables_of(axis)}
        scope = tuple(place for place, variable in enumerate(space.variables) if variable.name in names)
        if len(scope) > _MOST_IN_A_CHOICE:
            yield from self.many.factors(space)
            more = max(self.few.element_bytes - self.many.element_bytes, 0) * (self.least - 1)
            yield CostFactor((), np.array(float(more)))
            return
        variables = [space.variables[place] for place in scope]
        values = np.empty([len(variable.choices) for variable in variables])
        for place in np.ndindex(values.shape):
            chosen = zip(variables, place, strict=True)
            values[place] = self.bytes_at({variable.name: variable.choices[index] for variable, index in chosen})
        yield CostFactor(scope, values)


class FileSize(NamedTuple):
    """What a file is made of: bytes that are the same at all widths, and arrays."""

    fixed: int
    arrays: tuple[StoredArray | Choice, ...]

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
    """The bytes of one element of an activation, at most: much of what runs float16 files computes in float32."""
    return 1 if precision is Precision.INT8 else 4
