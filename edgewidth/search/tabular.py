"""The search by value tables, where the graph has a small tree-width: with a proof, and the whole frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.dual import Dual, maximise_dual, relaxation
from edgewidth.search.elimination import minimise, value_range
from edgewidth.search.enumeration import BranchAndBound
from edgewidth.search.feasible import check_feasible
from edgewidth.search.frontier import trace_frontier
from edgewidth.search.hull import hull_edge
from edgewidth.search.problem import InfeasibleError
from edgewidth.search.solution import Certificate, Solution
from edgewidth.search.tables import ValueTables

if TYPE_CHECKING:
    from edgewidth.search.elimination import Plan
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.frontier import Frontier
    from edgewidth.search.problem import Problem


def solve_by_tables(
    problem: Problem, budget_ms: float, *, count: int, steps: int, weights: Array | None = None
) -> Solution:
    """The ``count`` best assignments within the budgets, and the frontier, from one pass over the graph.

    The pass is a dynamic programme over a grid of ``steps`` latencies (fewer where a graph would need more than
    256 MB); branch and bound on its tables then removes the grid's error from the answer. Whether the latency
    and the peak budgets can be kept is decided before.

    Args:
        problem: Of a small tree-width.
        budget_ms: What the latency must not exceed.
        count: How many assignments to find.
        steps: Of the grid.
        weights: Multipliers of the sum budgets: any are right, good ones make it quick. None: the best ones.

    Raises:
        InfeasibleError: No assignment keeps the budgets, or, with sum budgets, none was found.
    """
    plan, quickest = problem.plan, check_feasible(problem, budget_ms)
    known = np.array([quickest.assignment])
    if weights is None:
        dual = _dual(problem, budget_ms)
        known, weights = np.concatenate([known, dual.assignments]), dual.weights[1:]
    losses = (*problem.losses, *problem.forbidden, *relaxation(problem, weights))
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


def frontier_by_tables(problem: Problem, *, steps: int, weights: Array) -> Frontier:
    """The frontier alone, as far as a grid of ``steps`` latencies tells; ``weights`` are of the sum budgets.

    Some assignment must keep the peak budgets.
    """
    plan = problem.plan
    losses = plan.buckets((*problem.losses, *problem.forbidden, *relaxation(problem, weights)))
    tables = _tables(problem, plan, losses, plan.buckets(problem.latencies), -np.inf, steps)
    return trace_frontier(problem, tables, np.empty((0, len(problem.sizes)), dtype=np.intp))


def _dual(problem: Problem, budget_ms: float) -> Dual:
    """The best weights of the sum budgets."""
    plan, parts = problem.plan, (problem.latencies, *(budget.factors for budget in problem.sums))
    if not problem.sums:
        return Dual(np.zeros(1), np.empty((0, len(problem.sizes)), dtype=np.intp))
    losses = plan.buckets((*problem.losses, *problem.forbidden))
    resources = [plan.buckets(part) for part in parts]

    def minimum(weights: Array) -> tuple[float, Indices]:
        joint = [
            part + sum(w * resource[k] for w, resource in zip(weights, resources, strict=True))
            for k, part in enumerate(losses)
        ]
        return minimise(plan, joint)

    ranges = [value_range(plan, part) for part in (plan.buckets(problem.losses), *resources)]
    return maximise_dual(problem, budget_ms, np.array(ranges), minimum)


def _tables(
    problem: Problem, plan: Plan, losses: list[Array], latencies: list[Array], budget_ms: float, steps: int
) -> ValueTables:
    """Value tables that reach from the fastest assignment to the best one, or to the budget if that is further."""
    best = minimise(plan, losses)[1]
    slowest_ms = -minimise(plan, [-bucket for bucket in latencies])[0]
    top_ms = max(problem.point(best).latency_ms, min(budget_ms, slowest_ms))
    return ValueTables(plan, losses, latencies, top_ms=top_ms, steps=steps)
