"""The Lagrangian relaxation of all sum budgets, latency among them, on a graph of any tree-width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.factors import total
from edgewidth.search.problem import ROUNDING, largest
from edgewidth.search.reparametrisation import Reparametrisation

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Factor, Indices
    from edgewidth.search.problem import Problem

_ENOUGH = 1e-4
"""Sweeps that raise the bound by less than this part of the losses' range are of little use."""


class _Line(NamedTuple):
    """For all latencies at once: no assignment of latency t has a loss below ``height − slope × t``."""

    height: float
    slope: float


class Relaxed:
    """Weights times resources are added to the losses; for any weights that gives a bound.

    Args:
        problem: Its peak budgets become penalties that it never pays to accept.
        budget_ms: What the latency must not exceed.
    """

    def __init__(self, problem: Problem, budget_ms: float) -> None:
        self._problem = problem
        self._resources = [problem.latencies, *(budget.factors for budget in problem.sums)]
        self._most = np.array([largest(part) for part in (problem.losses, *self._resources)])
        limits = [problem.relaxed_ms(budget_ms), *(budget.relaxed for budget in problem.sums)]
        self._limits = np.minimum(limits, self._most[1:])  # above the largest sum there is nothing to keep
        self.ranges = np.array([_range(part) for part in (problem.losses, *self._resources)])
        """By how much the losses, the latencies and each sum budget's resource may vary: (2 + sum budgets,)."""
        self._sums = Reparametrisation(problem.sizes, [problem.losses, problem.broken, *self._resources])
        self._weights = np.zeros(len(self._limits))
        self._lines: list[_Line] = []
        self.visited: list[Indices] = []
        """The best assignments of all sweeps."""

    def minimum(self, weights: Array, sweeps: int) -> tuple[float, Indices]:
        """A lower bound of the least weighted sum, and an assignment near it; see ``maximise_dual``.

        Args:
            weights: Of latency and the sum budgets: (1 + sum budgets,).
            sweeps: At the most; fewer where the bound is the sum, or does not rise any more.
        """
        self._weights = weights
        self._sums.weigh(np.array([1.0, self._penalty, *weights]))
        bound, best = self._sums.sweep()
        least = self._weighted(best)
        for _ in range(sweeps - 1):
            if least - bound <= self._tolerance:
                break
            before = bound
            bound, assignment = self._sums.sweep()
            value = self._weighted(assignment)
            if value < least:
                least, best = value, assignment
            if bound - before <= _ENOUGH * self.ranges[0] / sweeps:
                break
        self.visited.append(best)
        self._lines.append(_Line(bound - self._tolerance - float(weights[1:] @ self._limits[1:]), float(weights[0])))
        return bound, best

    @property
    def lower_bound(self) -> float:
        """No assignment within all budgets has a loss below this."""
        return float(self.lower_bounds(self._limits[:1])[0])

    def lower_bounds(self, latencies: Array) -> Array:
        """For latencies, what no assignment at most as slow and within the other budgets goes below."""
        heights, slopes = np.array(self._lines).T
        bounds: Array = (heights - latencies[:, np.newaxis] * slopes).max(axis=1)
        return bounds

    def choices_below(self, loss: float) -> list[Indices]:
        """By variable, the choices that an assignment within all budgets and of a loss below this may have."""
        spent = float(self._weights @ self._limits)
        return [np.flatnonzero(b - spent <= loss + self._tolerance) for b in self._sums.least_with()]

    @property
    def _penalty(self) -> float:
        return 2 * float(self._most @ [1.0, *self._weights]) + 1

    @property
    def _tolerance(self) -> float:
        return ROUNDING * self._penalty

    def _weighted(self, assignment: Indices) -> float:
        row = assignment[np.newaxis]
        spent = [float(total(part, row)[0]) for part in self._resources]
        return float(self._problem.loss(row)[0] + self._weights @ spent)


def _range(factors: Sequence[Factor]) -> float:
    """At most the greatest sum less the least one; 1 where all are equal."""
    return float(sum(np.ptp(factor.values) for factor in factors)) or 1.0
