"""For every latency, the best assignment that stays within it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.problem import Problem
    from edgewidth.search.tables import ValueTables


class Frontier(NamedTuple):
    """Assignments of ascending latency and descending loss: none is at once slower and worse than another."""

    assignments: Indices
    """(points, variables)."""
    losses: Array
    latencies_ms: Array
    lower_bounds: Array
    """No assignment at most as slow has a loss below this; the distance is what the grid may cost."""


def trace_frontier(problem: Problem, tables: ValueTables, known: Indices) -> Frontier:
    """Every assignment that the last value table speaks of, and ``known`` ones: (any number, variables).

    Where the problem has further budgets the tables only relax them: then the frontier consists of the
    assignments found that keep them, and the bounds say what better ones there may be.
    """
    final = np.concatenate([[np.inf], tables.final])
    cells = np.flatnonzero(final[1:] < final[:-1])
    start = np.zeros((len(cells), len(problem.sizes)), dtype=np.intp)
    completed = tables.complete(start, len(tables.plan.steps), cells)

    def lower_bounds(latencies: Array) -> Array:
        within = np.floor((latencies - tables.offset_ms) / tables.step_ms + tables.above[-1]).astype(np.intp)
        return tables.read(len(tables.plan.steps), np.zeros_like(within), within)

    return frontier_of(problem, np.concatenate([known, completed]), lower_bounds)


def frontier_of(problem: Problem, found: Indices, lower_bounds: Callable[[Array], Array]) -> Frontier:
    """The frontier of assignments, those left out that do not keep the peak and the sum budgets.

    Args:
        problem: Says what they cost.
        found: (any number, variables).
        lower_bounds: For latencies, what no assignment at most as slow goes below.
    """
    found = found[problem.within(found, np.inf)]
    losses, latencies = problem.loss(found), problem.latency_ms(found)
    order = np.lexsort((losses, latencies))
    least = np.minimum.accumulate(losses[order])
    order = order[losses[order] < np.concatenate([[np.inf], least[:-1]])]
    losses, latencies = losses[order], latencies[order]
    return Frontier(found[order], losses, latencies, np.minimum(losses, lower_bounds(latencies)))
