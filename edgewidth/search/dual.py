"""Multipliers for budgets beside latency: the Lagrangian dual by Kelley's cutting planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.factors import Factor, total
from edgewidth.search.problem import largest

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.problem import Problem

_ROUNDS = 60
_CLOSE = 1e-7
"""Stop when the dual is this near to its optimum, as a part of the range of the losses."""
_STEEPEST = 1e4
"""Weights are at most this many times the range of the losses over that of the resource."""


class Dual(NamedTuple):
    """The best multipliers found, and every assignment that was a minimum on the way."""

    weights: Array
    """Of latency, then of the sum budgets: (1 + sum budgets,)."""
    assignments: Indices


def maximise_dual(
    problem: Problem, budget_ms: float, ranges: Array, minimise: Callable[[Array], tuple[float, Indices]]
) -> Dual:
    """Weights of latency and sum budgets, all of them relaxed: any weights give a bound, these a good one.

    Each minimum for given weights is a plane above the concave dual function; the next weights maximise the
    least of these planes (Kelley 1960, The Cutting-Plane Method for Solving Convex Programs).

    Args:
        problem: What to minimise.
        budget_ms: What the latency must not exceed.
        ranges: By how much the losses, the latencies and each sum budget's resource vary: (2 + sum budgets,).
        minimise: For weights of latency and sum budgets, a lower bound of the least weighted sum, and an assignment
            that has it or is near it. With a bound below the sum the weights are near the best ones.
    """
    parts = [problem.latencies, *(budget.factors for budget in problem.sums)]
    # Above the largest sum there is nothing to keep; and infinity has no multiples.
    limits = [budget_ms, *(budget.budget for budget in problem.sums)]
    budgets = np.array([min(limit, largest(part)) for limit, part in zip(limits, parts, strict=True)])
    # Weights are counted in units of the range of the losses over that of each resource.
    unit, units = ranges[0], ranges[0] / ranges[1:]
    weights, best, best_weights = np.zeros(len(budgets)), -np.inf, np.zeros(len(budgets))
    visited: list[Indices] = []
    planes: list[list[float]] = []
    promise = np.inf
    for _ in range(_ROUNDS):
        value, assignment = minimise(weights * units)
        height = (value - float(weights * units @ budgets)) / unit
        if height > best:
            best, best_weights = height, weights
        visited.append(assignment)
        overrun = np.array([total(part, assignment[np.newaxis])[0] for part in parts]) - budgets
        planes.append([float(total(problem.losses, assignment[np.newaxis])[0]) / unit, *(overrun * units / unit)])
        cut = planes[-1][0] + float(weights @ planes[-1][1:])
        if cut >= promise - _CLOSE:
            break  # the minimum does not lie below the planes that are known
        weights, promise = _highest(np.array(planes))
        if promise - best <= _CLOSE:
            break
    return Dual(best_weights * units, np.array(visited))


def relaxation(problem: Problem, weights: Array) -> tuple[Factor, ...]:
    """What to add to the losses: at most 0 in sum for an assignment that keeps the sum budgets."""
    weighted = [(weight, budget) for weight, budget in zip(weights, problem.sums, strict=True) if weight > 0]
    credit = sum(weight * budget.budget for weight, budget in weighted)
    factors = [Factor(f.scope, f.values * weight) for weight, budget in weighted for f in budget.factors]
    return (*factors, Factor((), np.array(-credit)))


def _highest(planes: Array) -> tuple[Array, float]:
    """The weights at which the least of the planes (height at 0, then slopes) is highest, and its height there."""
    # scipy is heavy to import, and and chains within a budget of latency alone do not come here.
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
