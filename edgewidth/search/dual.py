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
"""Stop when the dual is this near to its optimum, as a part of the range of the losses."""
_STEEPEST = 1e4
"""Weights are at most this many times the range of the losses over that of the resource."""


class Dual(NamedTuple):
    """The best multipliers found, and every assignment that was a minimum on the way."""

    weights: Array
    """(sum budgets,)."""
    assignments: Indices


def maximise_dual(problem: Problem, plan: Plan, budget_ms: float) -> Dual:
    """Weights of the sum budgets, all of them and latency relaxed: any weights give a bound, these a good one.

    Each minimum for given weights is a plane above the concave dual function; the next weights maximise the
    least of these planes (Kelley 1960, The Cutting-Plane Method for Solving Convex Programs).
    """
    factors = [problem.latencies, *(budget.factors for budget in problem.sums)]
    budgets = np.array([budget_ms, *(budget.budget for budget in problem.sums)])
    losses = plan.buckets((*problem.losses, *problem.forbidden))
    resources = [plan.buckets(part) for part in factors]
    # Weights are counted in units of the range of the losses over that of each resource.
    unit = _range(plan, plan.buckets(problem.losses))
    units = np.array([unit / _range(plan, resource) for resource in resources])
    weights, best, best_weights = np.zeros(len(budgets)), -np.inf, np.zeros(len(budgets))
    visited, planes = [], []
    for _ in range(_ROUNDS):
        joint = [
            part + sum(w * resource[k] for w, resource in zip(weights * units, resources, strict=True))
            for k, part in enumerate(losses)
        ]
        value, assignment = minimise(plan, joint)
        height = (value - float(weights * units @ budgets)) / unit
        if height > best:
            best, best_weights = height, weights
        visited.append(assignment)
        overrun = np.array([total(part, assignment[np.newaxis])[0] for part in factors]) - budgets
        planes.append([float(problem.loss(assignment[np.newaxis])[0]) / unit, *(overrun * units / unit)])
        weights, promise = _highest(np.array(planes))
        if promise - best <= _CLOSE:
            break
    return Dual((best_weights * units)[1:], np.array(visited))


def relaxation(problem: Problem, weights: Array) -> tuple[Factor, ...]:
    """What to add to the losses: at most 0 in sum for an assignment that keeps the sum budgets."""
    weighted = [(weight, budget) for weight, budget in zip(weights, problem.sums, strict=True) if weight > 0]
    credit = sum(weight * budget.budget for weight, budget in weighted)
    factors = [Factor(f.scope, f.values * weight) for weight, budget in weighted for f in budget.factors]
    return (*factors, Factor((), np.array(-credit)))


def _range(plan: Plan, buckets: list[Array]) -> float:
    """The greatest sum less the least one, or 1 where all are equal."""
    return -minimise(plan, [-bucket for bucket in buckets])[0] - minimise(plan, buckets)[0] or 1.0


def _highest(planes: Array) -> tuple[Array, float]:
    """The weights at which the least of the planes (height at 0, then slopes) is highest, and its height there."""
    # scipy is heavy to import, and only problems with several budgets come here.
    from scipy.optimize import linprog  # noqa: PLC0415

    weights = planes.shape[1] - 1
    found = linprog(
        c=[*np.zeros(weights), -1.0],
        A_ub=np.column_stack([-planes[:, 1:], np.ones(len(planes))]),
        b_ub=planes[:, 0],
        bounds=[*[(0.0, _STEEPEST)] * weights, (None, None)],
        method="highs",
    )
    if not found.success or found.x is None:
        raise ArithmeticError(f"the linear programme of the dual failed: {found.message}")
    return found.x[:-1], float(found.x[-1])
