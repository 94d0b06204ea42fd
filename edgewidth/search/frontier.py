"""For every latency, the best assignment that stays within it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from edgewidth.search.problem import Array, Indices, Problem
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
    found = np.concatenate([known, tables.complete(start, len(tables.plan.steps), cells)])
    found = found[problem.within(found, np.inf)]
    losses, latencies = problem.loss(found), problem.latency_ms(found)
    order = np.lexsort((losses, latencies))
    least = np.minimum.accumulate(losses[order])
    order = order[losses[order] < np.concatenate([[np.inf], least[:-1]])]
    return Frontier(found[order], losses[order], latencies[order], _bounds(tables, latencies[order], losses[order]))


def _bounds(tables: ValueTables, latencies: Array, losses: Array) -> Array:
    cells = np.floor((latencies - tables.offset_ms) / tables.step_ms + tables.above[-1]).astype(np.intp)
    rank, state = len(tables.plan.steps), np.zeros_like(cells)
    return np.minimum(losses, tables.read(rank, state, cells))
