"""The Lagrangian method of AOWS (Berman et al., CVPR 2020), carried to its limit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.dual import maximise_dual
from edgewidth.search.hull import hull_edge
from edgewidth.search.relaxed import Relaxed

if TYPE_CHECKING:
    from edgewidth.search.problem import Indices, Point, Problem

_SWEEPS = 5


def lagrangian(problem: Problem, budget_ms: float) -> Point | None:
    """The assignment within the budget that minimises loss + multiplier × latency for some multiplier.

    AOWS runs Viterbi inside a bisection on the multiplier, 12 steps. Its limit is the last vertex of the convex
    hull within the budget, which the secant method finds exactly; so the comparison is with the best that the
    method can do. On a graph of large tree-width the minima are those that reparametrisation finds. Sum budgets
    beside latency are not part of it.
    """
    vertices = _vertices(problem, budget_ms)
    within = vertices[problem.within(vertices, budget_ms)]
    return problem.point(within[problem.loss(within).argmin()]) if len(within) else None


def _vertices(problem: Problem, budget_ms: float) -> Indices:
    """Minima for multipliers around the best one, that one's among them: (any number, variables)."""
    plan = problem.plan
    if plan.is_small:
        losses = plan.buckets((*problem.losses, *problem.forbidden))
        edge = hull_edge(plan, losses, plan.buckets(problem.latencies), problem.relaxed_ms(budget_ms))
        return edge.assignment[np.newaxis]
    free = replace(problem, sums=())
    relaxed = Relaxed(free, budget_ms)
    return maximise_dual(free, budget_ms, relaxed.ranges, lambda weights: relaxed.minimum(weights, _SWEEPS)).assignments
