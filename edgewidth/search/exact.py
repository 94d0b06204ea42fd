"""The search: exact wherever the graph allows it, and with a bound where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.search.bounded import solve_bounded
from edgewidth.search.tabular import solve_by_tables

if TYPE_CHECKING:
    from edgewidth.search.problem import Problem
    from edgewidth.search.solution import Solution

GRID_STEPS = 20_000
"""Steps of the latency grid between the fastest assignment and the best one."""


def solve(problem: Problem, budget_ms: float, *, count: int = 1, steps: int = GRID_STEPS) -> Solution:
    """The ``count`` best assignments within the budgets, and the frontier, in a second or a few.

    By value tables over a grid of ``steps`` latencies where the graph has a small tree-width, and by relaxation
    and search in neighbourhoods where it has not; the certificate says which, and how good the answer is.

    Raises:
        InfeasibleError: No assignment keeps the budgets, or, with sum budgets or a large tree-width, none was found.
    """
    if problem.plan.is_small:
        return solve_by_tables(problem, budget_ms, count=count, steps=steps)
    return solve_bounded(problem, budget_ms, count=count)
