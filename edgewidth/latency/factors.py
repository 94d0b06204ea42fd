"""The latency table as factors over width variables, as the search takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from edgewidth.latency.terms import Floats
    from edgewidth.records.table import LatencyTable


class LatencyFactors(NamedTuple):
    """``offset_ms`` plus one value of every factor is what the table's curve makes the predicted latency of.

    A factor is a scope, ascending indices of width variables, and an array with one axis for each of them.
    """

    factors: list[tuple[tuple[int, ...], Floats]]
    offset_ms: float


def latency_factors(table: LatencyTable) -> LatencyFactors:
    """The table's entries summed by scope; what depends on no variable goes into the offset."""
    names = [variable.name for variable in table.space.variables]
    summed: dict[tuple[int, ...], Floats] = {}
    offset_ms = table.offset_ms
    for entry in table.entries:
        scope = tuple(names.index(name) for name in entry.scope)
        values = np.array(entry.values_ms)
        if not scope:
            offset_ms += float(values[0, 0])
            continue
        if len(scope) == 1:
            values = values[0]
        elif scope[0] > scope[1]:
            scope, values = scope[::-1], values.T
        summed[scope] = summed.get(scope, 0.0) + values
    return LatencyFactors(sorted(summed.items(), key=lambda item: item[0]), offset_ms)
