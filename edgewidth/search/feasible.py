"""Whether there is anything to search: decided before a search starts."""

from __future__ import annotations

import numpy as np

from edgewidth.search.elimination import Plan, minimise
from edgewidth.search.problem import InfeasibleError, Point, Problem


def fastest(problem: Problem) -> Point:
    """The assignment of least latency among those that keep the peak budgets.

    Raises:
        InfeasibleError: The peak budgets forbid every assignment.
    """
    return _fastest(problem, Plan(problem.sizes, problem.scopes))


def check_feasible(problem: Problem, plan: Plan, budget_ms: float) -> Point:
    """The fastest assignment, which is within the latency budget.

    Raises:
        InfeasibleError: It is not, or the peak budgets forbid every assignment.
    """
    point = _fastest(problem, plan)
    if point.latency_ms > problem.relaxed_ms(budget_ms):
        raise InfeasibleError(f"No assignment needs less than {point.latency_ms:.6g} ms.", point)
    return point


def _fastest(problem: Problem, plan: Plan) -> Point:
    value, assignment = minimise(plan, plan.buckets((*problem.latencies, *problem.forbidden)))
    if not np.isfinite(value):
        raise InfeasibleError("The peak budgets forbid every assignment.", None)
    return problem.point(assignment)
