"""The search where the tree-width is too large for tables: relaxation gives a bound, neighbourhoods the answer.

The budgets become Lagrange multipliers and the graph a reparametrisation, whose bound holds for every assignment
within the budgets. The answer is sought in large neighbourhoods: forests of variables, searched exactly while the
others stay. Choices that no assignment better than the answer can have are left out; often so few remain that they
can be searched exactly, and the answer is proven after all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.dual import maximise_dual
from edgewidth.search.enumeration import Pool
from edgewidth.search.feasible import check_feasible
from edgewidth.search.frontier import frontier_of
from edgewidth.search.neighbourhood import compact, conditioned, random_forest, restricted
from edgewidth.search.problem import InfeasibleError, largest
from edgewidth.search.relaxed import Relaxed
from edgewidth.search.solution import Certificate, Solution
from edgewidth.search.tabular import frontier_by_tables, solve_by_tables

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.frontier import Frontier
    from edgewidth.search.problem import Point, Problem

_SWEEPS = 5
"""For each weight of the latency; the next begins where the last has ended."""
_LAST_SWEEPS = 60
"""At the best weights."""
_FRONTIER_WEIGHTS = np.geomspace(100, 0.01, 16)
"""Latency weights whose minima lie along the frontier, in units of losses' over latencies' range."""
_FRONTIER_SWEEPS = 3
"""For each of these."""
_FRONTIER_PARTS = 12
"""Neighbourhoods searched along the frontier."""
_PATIENCE = (4, 12)
"""So many neighbourhoods in a row without a better answer are enough for a first, and for the last, try of a proof."""
_NEIGHBOURHOODS = 60
"""At most, before each of these."""
_STEPS = 5000
"""Of the latency grid where the answer is sought in a part of the problem."""
_FRONTIER_STEPS = 500
"""Where the frontier is: each neighbourhood adds so many points at the most."""


def solve_bounded(problem: Problem, budget_ms: float, *, count: int) -> Solution:
    """Good assignments within the budgets, a bound of the best one, and a frontier with bounds.

    Raises:
        InfeasibleError: No assignment keeps the budgets, or none was found.
    """
    quickest = check_feasible(problem, budget_ms)
    return _BoundedSearch(compact(problem), budget_ms, count, quickest).run()


class _BoundedSearch:
    """One search; ``quickest`` is within the latency budget."""

    def __init__(self, problem: Problem, budget_ms: float, count: int, quickest: Point) -> None:
        self._problem, self._budget_ms, self._count, self._quickest = problem, budget_ms, count, quickest
        self._relaxed = Relaxed(problem, budget_ms)
        self._pool = Pool(problem, budget_ms, count)
        self._found: list[Indices] = []
        self._rng = np.random.default_rng(0)

    def run(self) -> Solution:
        """Bound, answer, proof if one is possible, and frontier."""
        relaxed = self._relaxed
        weights = maximise_dual(
            self._problem, self._budget_ms, relaxed.ranges, lambda weights: relaxed.minimum(weights, _SWEEPS)
        ).weights
        relaxed.minimum(weights, _LAST_SWEEPS)
        self._pool.add(self._starts)
        lower_bound = self._improve_and_prove(weights)
        if not len(self._pool.losses):
            doubt = "exists" if lower_bound > largest(self._problem.losses) else "was found, though one may exist"
            raise InfeasibleError(f"No assignment that keeps all budgets {doubt}.", self._quickest)
        self._follow_the_frontier(weights)
        best, *alternatives = (self._problem.point(assignment) for assignment in self._pool.assignments)
        lower_bound = min(lower_bound, best.loss)  # which rounding may undo
        certificate = Certificate(lower_bound, best.loss - lower_bound, grid_error_ms=0.0, bounded=True)
        return Solution(best, tuple(alternatives), certificate, self._frontier())

    def _improve_and_prove(self, weights: Array) -> float:
        """Find better answers until the best is proven or no more are found; returns a bound of its loss."""
        for patience in _PATIENCE:
            self._improve(weights, patience)
            proven = self._proven(weights)
            if proven is not None:
                return proven
        return self._relaxed.lower_bound

    def _improve(self, weights: Array, patience: int) -> None:
        """Search around the best answer, or around what the relaxation has found while there is none."""
        idle = 0
        for trial in range(_NEIGHBOURHOODS):
            before = self._pool.best
            known = self._pool.assignments[:1] if len(self._pool.losses) else self._starts
            self._pool.add(self._around(known[trial % len(known)], weights, _STEPS))
            idle = 0 if self._pool.best < before else idle + 1
            if idle == patience and len(self._pool.losses):
                break

    @property
    def _starts(self) -> Indices:
        """What the relaxation has found that keeps the peak budgets, the newest first, and at last the fastest."""
        found = np.array([*self._relaxed.visited[::-1], self._quickest.assignment])
        allowed: Indices = found[np.isfinite(self._problem.loss(found))]
        return allowed

    def _around(self, assignment: Indices, weights: Array, steps: int) -> Indices:
        """Free a forest of variables: the frontier's assignments while the others stay."""
        free = random_forest(self._problem, self._rng)
        part = conditioned(self._problem, free, assignment)
        if not part.plan.is_small:
            return assignment[np.newaxis]
        frontier = frontier_by_tables(part, steps=steps, weights=weights[1:])
        found = np.repeat(assignment[np.newaxis], len(frontier.losses), axis=0)
        found[:, free] = frontier.assignments
        return found

    def _proven(self, weights: Array) -> float | None:
        """The lower bound after a search of all choices that could be better; None: they are too many."""
        for loss in dict.fromkeys((self._pool.worst, self._pool.best)):
            choices = self._relaxed.choices_below(loss)
            if not all(len(left) for left in choices):
                continue
            part = restricted(self._problem, choices)
            if part.plan.is_small:
                solution = solve_by_tables(part, self._budget_ms, count=self._count, steps=_STEPS, weights=weights[1:])
                points = [solution.best.assignment, *(point.assignment for point in solution.alternatives)]
                self._pool.add(np.array([[c[i] for c, i in zip(choices, point, strict=True)] for point in points]))
                return max(self._relaxed.lower_bound, min(loss, solution.certificate.lower_bound))
        return None

    def _follow_the_frontier(self, weights: Array) -> None:
        """Minima for latency weights from high to low, and neighbourhoods of some of the best along the way."""
        losses, latencies = self._relaxed.ranges[:2]
        for weight in losses / latencies * _FRONTIER_WEIGHTS:
            self._relaxed.minimum(np.array([weight, *weights[1:]]), _FRONTIER_SWEEPS)
        known = self._frontier()
        even = np.linspace(known.latencies_ms[0], known.latencies_ms[-1], _FRONTIER_PARTS)
        for i in np.unique(np.searchsorted(known.latencies_ms, even).clip(0, len(known.latencies_ms) - 1)):
            self._found.append(self._around(known.assignments[i], weights, _FRONTIER_STEPS))

    def _frontier(self) -> Frontier:
        """Of all that was found."""
        found = np.concatenate([self._starts, self._pool.assignments, *self._found])
        return frontier_of(self._problem, found, self._relaxed.lower_bounds)
