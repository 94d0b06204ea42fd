"""The random field over assignments at a temperature: what training draws configurations from.

p(assignment) ∝ exp(−(loss + weight × latency) / temperature), on the same graph and with the same order of
elimination as the search (sum-product in place of min-sum).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.feasible import check_feasible, fastest
from edgewidth.search.mean_field import MeanField
from edgewidth.search.problem import largest
from edgewidth.search.sum_product import SumProduct

if TYPE_CHECKING:
    from edgewidth.search.factors import Factor, Indices
    from edgewidth.search.problem import Problem

_REDRAWS = 100
"""So often are draws that break a peak budget drawn again; only an approximate distribution has them."""
_DOUBLINGS = 200
_BISECTIONS = 60
_CLOSE = 1e-6
"""The mean latency may stay below the budget by this part of it."""


class RandomField:
    """A distribution over assignments; those that break a peak budget have probability 0.

    Made by ``field_at_budget`` or from a latency weight of one's own. On a graph of large tree-width the variables
    are drawn independently, from the product of distributions that is nearest to the field.

    Args:
        problem: Its losses, latencies and peak budgets count; its sum budgets do not.
        temperature: Above 0, in units of the loss: near 0 only the best assignments are likely.
        latency_weight: Loss per millisecond.

    Raises:
        InfeasibleError: The peak budgets forbid every assignment.
    """

    def __init__(self, problem: Problem, temperature: float, latency_weight: float = 0.0) -> None:
        if not temperature > 0:
            raise ValueError(f"the temperature must be above 0, and is {temperature}")
        self.temperature, self.latency_weight = temperature, latency_weight
        self._problem = problem
        self._distribution = _distribution(problem, temperature, latency_weight)
        self.marginals = self._distribution.marginals
        """The probability of every choice of every variable: one array of (choices,) per variable."""
        self.mean_latency_ms = self._distribution.mean(problem.latencies)
        """The expected latency of a drawn assignment."""

    def sample(self, count: int, rng: np.random.Generator) -> Indices:
        """Independent draws: (count, variables)."""
        drawn = self._distribution.sample(count, rng)
        for _ in range(_REDRAWS):
            [broken] = np.nonzero(~np.isfinite(self._problem.loss(drawn)))
            if not len(broken):
                return drawn
            drawn[broken] = self._distribution.sample(len(broken), rng)
        drawn[~np.isfinite(self._problem.loss(drawn))] = fastest(self._problem).assignment
        return drawn


def _distribution(problem: Problem, temperature: float, latency_weight: float) -> SumProduct | MeanField:
    def scaled(factors: Iterable[Factor], scale: float) -> list[Factor]:
        return [factor._replace(values=factor.values * scale) for factor in factors]

    energies = [*scaled(problem.losses, 1 / temperature), *scaled(problem.latencies, latency_weight / temperature)]
    if problem.plan.is_small:
        return SumProduct(problem.plan, (*energies, *problem.forbidden))
    return MeanField(problem.sizes, (*energies, *scaled(problem.broken, 1 + largest(energies))))


def field_at_budget(problem: Problem, budget_ms: float, temperature: float) -> RandomField:
    """The field with the least latency weight at which the mean latency is within the budget.

    Raises:
        InfeasibleError: No assignment is within the latency and the peak budgets.
    """
    check_feasible(problem, budget_ms)
    field = RandomField(problem, temperature)
    if field.mean_latency_ms <= budget_ms:
        return field
    low, high = 0.0, temperature / abs(field.mean_latency_ms - budget_ms)
    field = RandomField(problem, temperature, high)
    for _ in range(_DOUBLINGS):
        if field.mean_latency_ms <= problem.relaxed_ms(budget_ms):
            break
        low, high = high, 2 * high
        field = RandomField(problem, temperature, high)
    for _ in range(_BISECTIONS):
        if field.mean_latency_ms >= budget_ms * (1 - _CLOSE):
            break
        middle = RandomField(problem, temperature, (low + high) / 2)
        if middle.mean_latency_ms <= budget_ms:
            high, field = middle.latency_weight, middle
        else:
            low = middle.latency_weight
    return field
