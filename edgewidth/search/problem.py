"""What is minimised within which budgets: variables with finitely many choices, and factors over a few of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.elimination import Plan
from edgewidth.search.factors import Factor, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.search.factors import Array, Indices

ROUNDING = 1e-12
"""Sums of the same numbers in another order differ by less than this part of their largest possible size."""


class SumBudget(NamedTuple):
    """The sum of ``factors`` must not exceed ``budget``: file size, multiply-accumulates."""

    name: str
    factors: tuple[Factor, ...]
    budget: float

    @property
    def relaxed(self) -> float:
        """The budget plus what the rounding of the sum may add."""
        return self.budget + ROUNDING * (abs(self.budget) + largest(self.factors))


class PeakBudget(NamedTuple):
    """None of ``factors`` may exceed ``budget``: peak activation memory."""

    name: str
    factors: tuple[Factor, ...]
    budget: float


class Point(NamedTuple):
    """One assignment with its loss and its latency."""

    assignment: tuple[int, ...]
    loss: float
    latency_ms: float


class InfeasibleError(Exception):
    """No assignment keeps the budgets.

    ``fastest`` is the assignment of least latency among those that keep the peak budgets; None where these
    alone forbid every assignment. Where ``fastest`` is within the latency budget, the other budgets are at fault.
    """

    def __init__(self, message: str, fastest: Point | None) -> None:
        super().__init__(message)
        self.fastest = fastest


@dataclass(frozen=True)
class Problem:
    """Minimise the sum of ``losses`` while the sum of ``latencies`` stays within a budget given to the search.

    Latencies are milliseconds. Peak budgets forbid assignments outright: their loss is infinite.

    Raises:
        ValueError: A factor does not fit the variables, or is not finite.
    """

    sizes: tuple[int, ...]
    losses: tuple[Factor, ...]
    latencies: tuple[Factor, ...]
    sums: tuple[SumBudget, ...] = ()
    peaks: tuple[PeakBudget, ...] = ()

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError("a problem has at least one variable, and every variable at least one choice")
        for factor in self._factors:
            self._check(factor)

    def _check(self, factor: Factor) -> None:
        if len(set(factor.scope)) != len(factor.scope) or not all(0 <= v < len(self.sizes) for v in factor.scope):
            raise ValueError(f"the scope {factor.scope} is not of distinct variables below {len(self.sizes)}")
        expected = tuple(self.sizes[v] for v in factor.scope)
        if np.shape(factor.values) != expected:
            raise ValueError(f"the factor over {factor.scope} has shape {np.shape(factor.values)}, not {expected}")
        if not np.isfinite(factor.values).all():
            raise ValueError(f"the factor over {factor.scope} has values that are not finite")

    @cached_property
    def forbidden(self) -> tuple[Factor, ...]:
        """Infinite where an assignment breaks a peak budget, zero elsewhere."""
        return tuple(
            Factor(factor.scope, np.where(factor.values > peak.budget, np.inf, 0.0))
            for peak in self.peaks
            for factor in peak.factors
        )

    @cached_property
    def broken(self) -> tuple[Factor, ...]:
        """How many factors of the peak budgets are over them: ``forbidden`` in finite numbers."""
        return tuple(f._replace(values=np.isinf(f.values).astype(float)) for f in self.forbidden)

    @cached_property
    def plan(self) -> Plan:
        """In which order to eliminate the variables."""
        return Plan(self.sizes, self.scopes)

    @cached_property
    def _rounding_ms(self) -> float:
        return ROUNDING * largest(self.latencies)

    def relaxed_ms(self, budget_ms: float) -> float:
        """The latency budget plus what the rounding of the sum may add."""
        return budget_ms + ROUNDING * abs(budget_ms) + self._rounding_ms

    @property
    def _factors(self) -> list[Factor]:
        further = [factor for budget in self.sums for factor in budget.factors]
        further += [factor for budget in self.peaks for factor in budget.factors]
        return [*self.losses, *self.latencies, *further]

    @property
    def scopes(self) -> list[tuple[int, ...]]:
        """The scopes of all factors."""
        return [factor.scope for factor in self._factors]

    def loss(self, assignments: Indices) -> Array:
        """The loss of each assignment: (count, variables) → (count,); infinite where a peak budget is broken."""
        return total((*self.losses, *self.forbidden), assignments)

    def latency_ms(self, assignments: Indices) -> Array:
        """The latency of each assignment: (count, variables) → (count,)."""
        return total(self.latencies, assignments)

    def within(self, assignments: Indices, budget_ms: float) -> NDArray[np.bool_]:
        """Whether each assignment keeps every budget, but for the rounding of the sums: (count,)."""
        kept: NDArray[np.bool_] = total(self.forbidden, assignments) == 0
        kept &= self.latency_ms(assignments) <= self.relaxed_ms(budget_ms)
        for budget in self.sums:
            kept &= total(budget.factors, assignments) <= budget.relaxed
        return kept

    def point(self, assignment: Sequence[int] | Indices) -> Point:
        """An assignment with its loss and its latency."""
        row = np.asarray(assignment, dtype=np.intp)[None]
        return Point(tuple(row[0].tolist()), float(self.loss(row)[0]), float(self.latency_ms(row)[0]))


def added(factors: Iterable[Factor]) -> dict[tuple[int, ...], Array]:
    """Factors of the same variables added up, by their ascending scope."""
    sums: dict[tuple[int, ...], Array] = {}
    for factor in factors:
        scope = tuple(sorted(factor.scope))
        values = factor.values.transpose(np.argsort(factor.scope)) if len(scope) > 1 else factor.values
        sums[scope] = sums[scope] + values if scope in sums else values
    return sums


def largest(factors: Iterable[Factor]) -> float:
    """The most that the finite part of a sum of factors can be in size: what its rounding is measured by."""
    return float(sum(np.abs(np.where(np.isfinite(f.values), f.values, 0)).max() for f in factors))
