"""Near which budgets losses should be known best, and whether they are known well enough to choose there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.costs import mac_factors
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor, total
from edgewidth.search.field import field_at_budget
from edgewidth.search.problem import Problem

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.losses.fit import LossFit
    from edgewidth.records.losses import Cost
    from edgewidth.search.field import RandomField

MACS_SHARES = (0.3, 0.5, 0.7)
"""Without a device: budgets as shares of the uniform 1.0 network's multiply-accumulates."""
TEMPERATURE = 0.5
"""The temperature of draws near a budget, in standard deviations of the loss of uniformly drawn configurations."""
POOL = 8
"""How many draws are made for every one taken: the one nearest to the budget."""
DRAWS = 16
"""Losses drawn from what the evaluations leave possible, to see whether they would all choose alike."""
GRID_STEPS = 2000
"""The latency grid of the exact search on these; branch and bound makes up for its coarseness."""
SETTLED_SHARE = 0.05
"""The choice is settled when doubt costs less than this share of what choosing gains."""
_SCALE_DRAWS = 2000


class Doubt(NamedTuple):
    """What not knowing the losses better costs near one budget, in nats."""

    regret: float
    """How much worse the choice is than the best one, expected over the losses that are possible."""
    gain: float
    """How much better the choice is than configurations of its cost are on average."""
    rivals: tuple[tuple[int, ...], ...]
    """The best assignments by the losses that are possible, each once: what was evaluated allows them to be it."""


@dataclass(frozen=True)
class Focus:
    """The budgets near which losses should be known well, and what every configuration costs.

    The cost stands in ``problem`` as latency. Its peak budgets hold; its losses and sum budgets are not read.
    """

    problem: Problem
    budgets: tuple[float, ...]
    cost: Cost

    def with_losses(self, losses: Sequence[Factor]) -> Problem:
        """The search problem with these losses; sum budgets left out."""
        return replace(self.problem, losses=tuple(losses), sums=())

    def field(self, losses: Sequence[Factor], budget: float, temperature: float) -> RandomField:
        """The field whose mean cost is the budget.

        ``temperature`` is in standard deviations of the loss of uniformly drawn configurations.

        Raises:
            InfeasibleError: No configuration keeps the budget.
        """
        rng = np.random.default_rng(0)
        sizes = self.problem.sizes
        drawn = rng.integers(sizes, size=(_SCALE_DRAWS, len(sizes)))
        scale = max(float(np.std(total(losses, drawn))), 1e-6)
        return field_at_budget(self.with_losses(losses), budget, scale * temperature)

    def near(
        self, space: SearchSpace, losses: Sequence[Factor], budget: float, count: int, rng: np.random.Generator
    ) -> list[ChannelConfig]:
        """``count`` configurations that cost about ``budget``, good ones by ``losses`` more often than bad ones.

        Without losses all are alike.
        """
        drawn = self.field(losses, budget, TEMPERATURE).sample(POOL * count, rng)
        pools = drawn.reshape(count, POOL, -1)
        off = np.abs(self.problem.latency_ms(drawn) - budget).reshape(count, POOL)
        return [space.config(pool[nearest]) for pool, nearest in zip(pools, off.argmin(1), strict=True)]

    def doubt(self, fit: LossFit, budget: float, rng: np.random.Generator) -> Doubt:
        """Whether better losses could change the choice, by the losses that the evaluations leave possible."""
        solution = solve(self.with_losses(fit.mean_factors), budget, steps=GRID_STEPS)
        chosen = np.array([solution.best.assignment])
        regrets, rivals = [], []
        for coefficients in fit.draws(DRAWS, rng):
            problem = self.with_losses(fit.factors(coefficients))
            best = solve(problem, budget, steps=GRID_STEPS).best
            regrets.append(float(problem.loss(chosen)[0]) - best.loss)
            rivals.append(best.assignment)
        alike = field_at_budget(self.with_losses(()), budget, 1.0).sample(_SCALE_DRAWS, rng)
        average = float(total(fit.mean_factors, alike).mean())
        return Doubt(float(np.mean(regrets)), average - solution.best.loss, tuple(dict.fromkeys(rivals)))


def macs_focus(space: SearchSpace) -> Focus:
    """Multiply-accumulates, for whatever device will be asked about."""
    factors = tuple(Factor(*factor) for factor in mac_factors(space))
    sizes = tuple(len(variable.choices) for variable in space.variables)
    problem = Problem(sizes, (), factors)
    ends = np.array([space.indices(config) for config in (space.smallest, space.uniform(1.0))])
    smallest, full = problem.latency_ms(ends)
    # Narrow ranges begin above the lowest share.
    budgets = dict.fromkeys(max(share * full, 1.1 * smallest) for share in MACS_SHARES)
    return Focus(problem, tuple(map(float, budgets)), "multiply-accumulates")
