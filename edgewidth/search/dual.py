"""Multipliers for budgets beside latency: the Lagrangian dual by Kelley's cutting planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.elimination import minimise
from edgewidth.search.problem import Factor, total

if TYPE_CHECKING:
    from edgewidth.search.elimination import Plan
    from edgewidth.search.problem import Array, Indices, Problem

_ROUNDS = 60
_CLOSE = 1e-7
"""Stop when the dual is this near to its optimum, as a part of the range of losses seen."""
_STEEPEST = 1e4
"""Multipliers go up to this many times the range of the losses over that of the resource."""
_TINY = 1e-300
"""Instead of a range of zero."""


class Dual(NamedTuple):
    """The best multipliers found, and every assignment that was a minimum on the way."""

    weights: Array
    """(sum budgets,)."""
    lower_bound: float
    assignments: Indices


def maximise_dual(problem: Problem, plan: Plan, budget_ms: float) -> Dual:
    """Weights of the sum budgets, all budgets and latency relaxed: any weights give a bound, these a good one.

    Each minimum for given weights is a plane above the concave dual function; the next weights maximise the
    least of these planes (Kelley 1960, The Cutting-Plane Method for Solving Convex Programs).
    """
    factors = [problem.latencies, *(b.factors for b in problem.sums)]
    budgets = np.array([budget_ms, *(b.budget for b in problem.sums)])
    losses = plan.buckets((*problem.losses, *problem.forbidden))
    resources = [plan.buckets(f) for f in factors]
    scales = np.array([max(_range(plan, resource), _TINY) for resource in resources])
    weights, best, best_weights = np.zeros(len(budgets)), -np.inf, np.zeros(len(budgets))
    visited, heights, slopes = [], [], []
    for _ in range(_ROUNDS):
        joint = [a + sum(w * r[k] for w, r in zip(weights, resources, strict=True)) for k, a in enumerate(losses)]
        value, assignment = minimise(plan, joint)
        value -= float(weights @ budgets)
        if value > best:
            best, best_weights = value, weights
        row = assignment[None]
        visited.append(assignment)
        heights.append(float(problem.loss(row)[0]))
        slopes.append(np.array([total(f, row)[0] for f in factors]) - budgets)
        spread = max(np.ptp(heights), 1e-9 * max(map(abs, heights)), _TINY)
        weights, promise = _highest(np.array(heights), np.array(slopes), _STEEPEST * spread / scales)
        if promise - best <= _CLOSE * spread:
            break
    return Dual(best_weights[1:], best, np.array(visited))


def relaxation(problem: Problem, weights: Array) -> tuple[Factor, ...]:
    """What to add to the losses: at most 0 in sum for an assignment that keeps the sum budgets."""
    weighted = [(weight, budget) for weight, budget in zip(weights, problem.sums, strict=True) if weight > 0]
    credit = sum(weight * budget.budget for weight, budget in weighted)
    factors = [Factor(f.scope, f.values * weight) for weight, budget in weighted for f in budget.factors]
    return (*factors, Factor((), np.array(-credit)))


def _range(plan: Plan, buckets: list[Array]) -> float:
    return -minimise(plan, [-bucket for bucket in buckets])[0] - minimise(plan, buckets)[0]


def _highest(heights: Array, slopes: Array, most: Array) -> tuple[Array, float]:
    """The weights in 0…``most`` at which the least plane is highest, and its height there."""
    # scipy is heavy to import, and only problems with several budgets come here.
    from scipy.optimize import linprog  # noqa: PLC0415

    # In units of ``most`` and of the largest height, which keeps the programme well scaled.
    slopes = slopes * most
    unit = max(np.abs(heights).max(), np.abs(slopes).max(), _TINY)
    found = linprog(
        c=[*np.zeros(len(most)), -1.0],
        A_ub=np.column_stack([-slopes / unit, np.ones(len(heights))]),
        b_ub=heights / unit,
        bounds=[*[(0.0, 1.0)] * len(most), (None, None)],
        method="highs",
    )
    if not found.success or found.x is None:
        raise ArithmeticError(f"the linear programme of the dual failed: {found.message}")
    return found.x[:-1] * most, float(found.x[-1] * unit)
