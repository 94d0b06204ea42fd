"""The Lagrangian method of AOWS (Berman et al., CVPR 2020), carried to its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.hull import hull_edge

if TYPE_CHECKING:
    from edgewidth.search.problem import Point, Problem


def lagrangian(problem: Problem, budget_ms: float) -> Point | None:
    """The assignment within the budget that minimises loss + multiplier × latency for some multiplier.

    AOWS runs Viterbi inside a bisection on the multiplier, 12 steps. Its limit is the last vertex of the convex
    hull within the budget, which the secant method finds exactly; so the comparison is with the best that the
    method can do. Sum budgets beside latency are not part of it.
    """
    plan = problem.plan
    losses = plan.buckets((*problem.losses, *problem.forbidden))
    edge = hull_edge(plan, losses, plan.buckets(problem.latencies), problem.relaxed_ms(budget_ms))
    within = problem.within(edge.assignment[np.newaxis], budget_ms)[0]
    return problem.point(edge.assignment) if within else None
