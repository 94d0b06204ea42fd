"""The random field over assignments at a temperature: what training draws configurations from.

p(assignment) ∝ exp(−(loss + weight × latency) / temperature), on the same graph and with the same order of
elimination as the search (sum-product in place of min-sum).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.elimination import Plan, check_feasible
from edgewidth.search.problem import InfeasibleError

if TYPE_CHECKING:
    from edgewidth.search.problem import Array, Indices, Problem

_DOUBLINGS = 200
_BISECTIONS = 60
_CLOSE = 1e-6
"""The mean latency may stay below the budget by this part of it."""


class RandomField:
    """A distribution over assignments; those that break a peak budget have probability 0.

    Made by ``field_at_budget`` or from a latency weight of one's own.

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
        weighted = [f._replace(values=f.values * latency_weight) for f in problem.latencies]
        self._plan = Plan(problem.sizes, problem.scopes)
        energies = self._plan.buckets((*problem.losses, *problem.forbidden, *weighted))
        self._conditionals = _conditionals(self._plan, [-energy / temperature for energy in energies])
        self._latencies = self._plan.buckets(problem.latencies)
        beliefs = self._beliefs()
        self.marginals = self._marginals(beliefs)
        """The probability of every choice of every variable: one array of (choices,) per variable."""
        self.mean_latency_ms = sum(float((p * b).sum()) for p, b in zip(beliefs, self._latencies, strict=True))
        """The expected latency of a drawn assignment."""

    def _beliefs(self) -> list[Array]:
        """The probability of every joint assignment of every step."""
        beliefs: list[Array] = []
        probability = np.ones(())
        for step, conditional in zip(reversed(self._plan.steps), reversed(self._conditionals), strict=True):
            belief = probability[..., np.newaxis] * conditional
            beliefs.append(belief)
            others = tuple(axis for axis, variable in enumerate(step.joint) if variable not in step.before)
            left = [variable for variable in step.joint if variable in step.before]
            probability = belief.sum(axis=others).transpose([left.index(variable) for variable in step.before])
        return beliefs[::-1]

    def _marginals(self, beliefs: Sequence[Array]) -> tuple[Array, ...]:
        of_variable = {
            step.variable: belief.reshape(-1, belief.shape[-1]).sum(axis=0)
            for step, belief in zip(self._plan.steps, beliefs, strict=True)
        }
        return tuple(of_variable[variable] for variable in range(len(self._plan.sizes)))

    def sample(self, count: int, rng: np.random.Generator) -> Indices:
        """Independent draws: (count, variables)."""
        drawn = np.zeros((count, len(self._plan.sizes)), dtype=np.intp)
        for step, conditional in zip(reversed(self._plan.steps), reversed(self._conditionals), strict=True):
            probabilities = conditional[tuple(drawn[:, variable] for variable in step.after)]
            cumulated = np.broadcast_to(probabilities, (count, conditional.shape[-1])).cumsum(axis=1)
            # Scaled by the last sum, which rounding may leave just below 1.
            thresholds = rng.random((count, 1)) * cumulated[:, -1:]
            drawn[:, step.variable] = (cumulated <= thresholds).sum(axis=1)
        return drawn


def field_at_budget(problem: Problem, budget_ms: float, temperature: float) -> RandomField:
    """The field with the least latency weight at which the mean latency is within the budget.

    Raises:
        InfeasibleError: No assignment is within the latency and the peak budgets.
    """
    check_feasible(problem, Plan(problem.sizes, problem.scopes), budget_ms)
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


def _conditionals(plan: Plan, exponents: Sequence[Array]) -> list[Array]:
    """For every step, the probability of each choice of its variable given the state after it."""
    message = np.zeros(())
    conditionals = []
    for step, exponent in zip(plan.steps, exponents, strict=True):
        joint = exponent + plan.align(message, step.before, step.joint)
        message = np.logaddexp.reduce(joint, axis=-1)
        # A state that no allowed assignment has: any finite number keeps its conditional at 0.
        conditionals.append(np.exp(joint - np.where(np.isfinite(message), message, 0)[..., np.newaxis]))
    if message == -np.inf:
        raise InfeasibleError("The peak budgets forbid every assignment.", None)
    return conditionals
