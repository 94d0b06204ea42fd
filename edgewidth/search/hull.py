"""The Lagrangian relaxation of the latency budget, solved exactly: the edge of the convex hull at the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.elimination import minimise
from edgewidth.search.problem import ROUNDING

if TYPE_CHECKING:
    from edgewidth.search.elimination import Plan
    from edgewidth.search.factors import Array, Indices

_ROUNDS = 200
"""Each finds a new vertex of the hull between the two known ones; a dozen are usual."""


class Edge(NamedTuple):
    """Where the lower convex hull of all (latency, loss) crosses the budget."""

    weight: float
    """The Lagrange multiplier: loss per millisecond, from 0."""
    assignment: Indices
    """The hull's vertex of least loss within the budget: (variables,)."""
    lower_bound: float
    """No assignment within the budget has a loss below this."""


class _Vertex(NamedTuple):
    latency_ms: float
    loss: float
    assignment: Indices


def hull_edge(plan: Plan, losses: Sequence[Array], latencies: Sequence[Array], budget_ms: float) -> Edge:
    """The edge of the hull at a budget that the fastest assignment keeps.

    Between a vertex within the budget and one over it, the multiplier that makes both equal either finds a
    vertex below their line or proves that there is none (Everett 1963, with the secant in place of bisection).
    ``losses``, infinite where forbidden, and ``latencies`` are one array over ``joint`` for every step of the plan.
    """

    def vertex(weight: float | None) -> _Vertex:
        joint = [
            np.where(np.isfinite(a), b, np.inf) if weight is None else a + weight * b
            for a, b in zip(losses, latencies, strict=True)
        ]
        assignment = minimise(plan, joint)[1]
        return _Vertex(plan.total(latencies, assignment), plan.total(losses, assignment), assignment)

    over = vertex(0.0)
    if over.latency_ms <= budget_ms:
        return Edge(0.0, over.assignment, over.loss)
    within = vertex(None)
    weight = 0.0
    for _ in range(_ROUNDS):
        if over.latency_ms <= within.latency_ms:
            break
        weight = max(0.0, (within.loss - over.loss) / (over.latency_ms - within.latency_ms))
        found = vertex(weight)
        line = within.loss + weight * within.latency_ms
        if found.loss + weight * found.latency_ms >= line - ROUNDING * (abs(line) + abs(within.loss)):
            break
        within, over = (found, over) if found.latency_ms <= budget_ms else (within, found)
    return Edge(weight, within.assignment, within.loss + weight * (within.latency_ms - budget_ms))
