"""The exact search: the best assignments within the budgets with a proof, and the whole frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.dual import maximise_dual, relaxation
from edgewidth.search.elimination import Plan, check_feasible, minimise
from edgewidth.search.enumeration import BranchAndBound
from edgewidth.search.frontier import Frontier, trace_frontier
from edgewidth.search.hull import hull_edge
from edgewidth.search.problem import InfeasibleError, Point, Problem
from edgewidth.search.tables import ValueTables

if TYPE_CHECKING:
    from edgewidth.search.problem import Array

GRID_STEPS = 20_000
"""Steps of the latency grid between the fastest assignment and the best one."""


class Certificate(NamedTuple):
    """How much better an assignment could exist.

    None within the budgets has a loss below ``lower_bound``; ``gap`` is the best one's loss less that: 0 when the
    best one is proven to be the optimum, up to the rounding of floating-point sums. ``grid_error_ms`` is the most
    by which the grid misjudges a latency; it concerns the frontier, while the gap already accounts for it.
    """

    lower_bound: float
    gap: float
    grid_error_ms: float


class Solution(NamedTuple):
    """What the exact search found."""

    best: Point
    alternatives: tuple[Point, ...]
    """The next best within the budgets, best first."""
    certificate: Certificate
    frontier: Frontier


def solve(problem: Problem, budget_ms: float, *, count: int = 1, steps: int = GRID_STEPS) -> Solution:
    """The ``count`` best assignments within the budgets, and the frontier, from one pass over the graph.

    The pass is a dynamic programme over a grid of ``steps`` latencies (fewer where a graph would need more than
    256 MB); branch and bound on its tables then removes the grid's error from the answer. Whether the latency
    and the peak budgets can be kept is decided before.

    Raises:
        InfeasibleError: No assignment keeps the budgets, or, with sum budgets, none was found.
    """
    plan = Plan(problem.sizes, problem.scopes)
    quickest = check_feasible(problem, plan, budget_ms)
    known, losses = np.array([quickest.assignment]), (*problem.losses, *problem.forbidden)
    if problem.sums:
        dual = maximise_dual(problem, plan, budget_ms)
        known, losses = np.concatenate([known, dual.assignments]), (*losses, *relaxation(problem, dual.weights))
    buckets, latencies = plan.buckets(losses), plan.buckets(problem.latencies)
    edge = hull_edge(plan, buckets, latencies, budget_ms)
    known = np.concatenate([known, edge.assignment[None]])
    tables = _tables(problem, plan, buckets, latencies, budget_ms, steps)
    bound = BranchAndBound(problem, tables, weight=edge.weight, budget_ms=budget_ms, count=count)
    found = bound.run(known)
    if not len(found.assignments):
        doubt = "exists" if found.lower_bound == np.inf else "was found, though one may exist"
        raise InfeasibleError(f"No assignment that keeps all budgets {doubt}.", quickest)
    best, *alternatives = (problem.point(assignment) for assignment in found.assignments)
    certificate = Certificate(found.lower_bound, best.loss - found.lower_bound, tables.error_ms)
    frontier = trace_frontier(problem, tables, np.concatenate([known, found.assignments]))
    return Solution(best, tuple(alternatives), certificate, frontier)


def _tables(
    problem: Problem, plan: Plan, losses: list[Array], latencies: list[Array], budget_ms: float, steps: int
) -> ValueTables:
    """Value tables that reach from the fastest assignment to the best one, or to the budget if that is further."""
    best = minimise(plan, losses)[1]
    slowest_ms = -minimise(plan, [-bucket for bucket in latencies])[0]
    top_ms = max(problem.point(best).latency_ms, min(budget_ms, slowest_ms))
    return ValueTables(plan, losses, latencies, top_ms=top_ms, steps=steps)
