"""Probabilities by elimination, exact where the graph has a small tree-width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.problem import InfeasibleError

if TYPE_CHECKING:
    from edgewidth.search.elimination import Plan
    from edgewidth.search.factors import Array, Factor, Indices


class SumProduct:
    """p(assignment) ∝ exp(−energy).

    Args:
        plan: The order of elimination.
        energies: Their sum is the energy; infinite where an assignment has probability 0.

    Raises:
        InfeasibleError: Every assignment has.
    """

    def __init__(self, plan: Plan, energies: Iterable[Factor]) -> None:
        self._plan = plan
        self._conditionals = _conditionals(plan, [-energy for energy in plan.buckets(energies)])
        self._beliefs = self._joint_probabilities()
        of_variable = {
            step.variable: belief.reshape(-1, belief.shape[-1]).sum(axis=0)
            for step, belief in zip(plan.steps, self._beliefs, strict=True)
        }
        self.marginals = tuple(of_variable[variable] for variable in range(len(plan.sizes)))
        """The probability of every choice of every variable: one array of (choices,) per variable."""

    def mean(self, factors: Iterable[Factor]) -> float:
        """The expected sum of factors."""
        buckets = self._plan.buckets(factors)
        return sum(float((p * b).sum()) for p, b in zip(self._beliefs, buckets, strict=True))

    def sample(self, count: int, rng: np.random.Generator) -> Indices:
        """Independent draws: (count, variables)."""
        drawn = np.zeros((count, len(self._plan.sizes)), dtype=np.intp)
        for step, conditional in zip(reversed(self._plan.steps), reversed(self._conditionals), strict=True):
            probabilities = conditional[tuple(drawn[:, variable] for variable in step.after)]
            drawn[:, step.variable] = draw(np.broadcast_to(probabilities, (count, conditional.shape[-1])), rng)
        return drawn

    def _joint_probabilities(self) -> list[Array]:
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


def draw(probabilities: Array, rng: np.random.Generator) -> Indices:
    """One choice per row: (count, choices) → (count,)."""
    cumulated = probabilities.cumsum(axis=1)
    # Scaled by the last sum, which rounding may leave just below 1.
    thresholds = rng.random((len(cumulated), 1)) * cumulated[:, -1:]
    choices: Indices = (cumulated <= thresholds).sum(axis=1)
    return choices


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
