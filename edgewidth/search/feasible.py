"""Whether there is anything to search: decided before a search starts."""

from __future__ import annotations

import numpy as np

from edgewidth.search.elimination import minimise
from edgewidth.search.problem import ROUNDING, InfeasibleError, Point, Problem, largest
from edgewidth.search.reparametrisation import Reparametrisation

_SWEEPS = 20
"""Over a graph of large tree-width; where latencies ascend with the widths, one or two prove the fastest."""


def fastest(problem: Problem) -> Point:
    """The assignment of least latency among those that keep the peak budgets.

    On a graph of large tree-width, the fastest one found.

    Raises:
        InfeasibleError: The peak budgets forbid every assignment, or, on such a graph, none was found that keeps them.
    """
    if not problem.plan.is_small:
        return _fastest_found(problem)
    value, assignment = minimise(problem.plan, problem.plan.buckets((*problem.latencies, *problem.forbidden)))
    if not np.isfinite(value):
        raise InfeasibleError("The peak budgets forbid every assignment.", None)
    return problem.point(assignment)


def check_feasible(problem: Problem, budget_ms: float) -> Point:
    """The fastest assignment, which is within the latency budget.

    Raises:
        InfeasibleError: It is not, or there is none; see ``fastest``.
    """
    point = fastest(problem)
    if point.latency_ms > problem.relaxed_ms(budget_ms):
        found = "" if problem.plan.is_small else "was found that "
        raise InfeasibleError(f"No assignment {found}needs less than {point.latency_ms:.6g} ms.", point)
    return point


def _fastest_found(problem: Problem) -> Point:
    relaxed = Reparametrisation(problem.sizes, [problem.latencies, problem.broken])
    most = largest(problem.latencies)
    relaxed.weigh(np.array([1.0, 3 * most + 1]))  # so that it never pays to break a peak budget
    best: Point | None = None
    for _ in range(_SWEEPS):
        bound, assignment = relaxed.sweep()
        if bound > most * (1 + ROUNDING):
            raise InfeasibleError("The peak budgets forbid every assignment.", None)
        point = problem.point(assignment)
        if np.isfinite(point.loss) and (best is None or point.latency_ms < best.latency_ms):
            best = point
        if best is not None and best.latency_ms <= bound + ROUNDING * most:
            break
    if best is None:
        raise InfeasibleError("No assignment that keeps the peak budgets was found.", None)
    return best
