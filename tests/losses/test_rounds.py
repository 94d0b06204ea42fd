"""Which configurations are evaluated, and when that is enough: against losses that are known."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_training import small_space

from edgewidth.graph.costs import costs
from edgewidth.graph.families.registry import search_space
from edgewidth.losses.fit import Design, Evaluations, LossFit, Posterior
from edgewidth.losses.focus import DRAWS, GRID_STEPS, MACS_SHARES, SETTLED_SHARE, Focus, macs_focus
from edgewidth.losses.rounds import ROUND, Rounds
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor, total
from edgewidth.search.field import RandomField

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
FOCUS = macs_focus(SPACE)
ONE_BUDGET = Focus(FOCUS.problem, FOCUS.budgets[1:2], FOCUS.cost)


def loss_tables(space: SearchSpace) -> list[NDArray[np.float64]]:
    """A loss for every choice of every variable: (choices,) each, falling with the width to 0."""
    return [
        0.01 * (1 + i % 3) * ((np.array(variable.choices) / variable.choices[-1]) ** -0.8 - 1)
        for i, variable in enumerate(space.variables)
    ]


def truth(space: SearchSpace, *, noise: float) -> Callable[[Sequence[ChannelConfig]], Evaluations]:
    """The sums of these, each evaluated with noise of its own."""
    tables = loss_tables(space)

    def evaluate(configs: Sequence[ChannelConfig]) -> Evaluations:
        losses = []
        for config in configs:
            own = np.random.default_rng(list(config)).standard_normal()
            of_widths = (table[choice] for table, choice in zip(tables, space.indices(config), strict=True))
            losses.append(sum(of_widths) + noise * own)
        return Evaluations(configs, np.array(losses))

    return evaluate


def test_less_noise_settles_sooner() -> None:
    """Exact losses need few evaluations; with noise that drowns them as many as allowed are made."""
    clear = Rounds(SPACE, ONE_BUDGET, truth(SPACE, noise=0.001), most=120, seed=0)
    blurred = Rounds(SPACE, ONE_BUDGET, truth(SPACE, noise=0.5), most=120, seed=0)
    assert clear.outcome.stopped == "settled"
    assert len(clear.fitted.configs) < 80
    assert blurred.outcome.stopped == "as many as allowed"
    held_out = sum(len(some.configs) for some in blurred.held_out.values())
    assert len(blurred.fitted.configs) + held_out == 120
    clearly, hardly = (rounds.outcome.rounds[-1].doubts[0] for rounds in (clear, blurred))
    assert clearly.regret / clearly.gain < SETTLED_SHARE < hardly.regret / hardly.gain


def test_no_configuration_is_evaluated_twice_nor_fitted_and_held_out() -> None:
    """Nor is the maximum among them, whose excess is 0 by definition."""
    rounds = Rounds(SPACE, FOCUS, truth(SPACE, noise=0.5), most=72, seed=3)
    configs = [*rounds.fitted.configs, *(config for some in rounds.held_out.values() for config in some.configs)]
    assert len(set(configs)) == len(configs) == 72
    assert SPACE.largest not in configs


def test_most_of_the_configurations_cost_about_the_budget() -> None:
    """Of the first round by turns, of the others three quarters; the held-out ones by kind."""
    [budget] = ONE_BUDGET.budgets
    rounds = [Rounds(SPACE, ONE_BUDGET, truth(SPACE, noise=0.05), most=90, seed=seed) for seed in range(3)]
    first = [config for some in rounds for config in some.fitted.configs[: 2 * ROUND]]
    later = [config for some in rounds for config in some.fitted.configs[2 * ROUND :]]

    def near(configs: Sequence[ChannelConfig]) -> float:
        return float(np.mean([abs(costs(SPACE, config).macs / budget - 1) < 0.15 for config in configs]))

    assert near(first[::2]) > 0.9
    assert near(first[1::2]) < 0.4
    assert 0.65 < near(later) < 0.9
    assert near([config for some in rounds for config in some.held_out["near the budget"].configs]) > 0.85
    assert near([config for some in rounds for config in some.held_out["random"].configs]) < 0.4


def test_the_stated_regret_is_what_the_choice_really_costs() -> None:
    """Against the best configuration by the losses without noise, on average over trainings."""
    [budget] = ONE_BUDGET.budgets
    problem = ONE_BUDGET.with_losses([Factor((i,), table) for i, table in enumerate(loss_tables(SPACE))])
    best = solve(problem, budget, steps=GRID_STEPS).best.loss
    real, stated = [], []
    for seed in range(5):
        rounds = Rounds(SPACE, ONE_BUDGET, truth(SPACE, noise=0.01), most=140, seed=seed)
        chosen = solve(ONE_BUDGET.with_losses(rounds.fit.mean_factors), budget, steps=GRID_STEPS).best.assignment
        real.append(float(problem.loss(np.array([chosen]))[0]) - best)
        stated.append(rounds.outcome.rounds[-1].doubts[0].regret)
    assert np.mean(stated) / 2 < np.mean(real) < 2 * np.mean(stated)


def test_a_small_space_is_exhausted() -> None:
    """More is asked for than there is."""
    space = small_space()
    rounds = Rounds(space, macs_focus(space), truth(space, noise=1.0), most=60, seed=0)
    assert len(rounds.fitted.configs) < space.size
    assert rounds.outcome.rounds


@pytest.mark.parametrize("most", [1, 2, 11, 60])
@pytest.mark.parametrize("choices", [(8, 16), (8, 16, 24)])
def test_something_is_left_to_fit_in_the_smallest_spaces(most: int, choices: tuple[int, ...]) -> None:
    """However few are allowed; what is held out is not more than what is fitted."""
    space = small_space()
    space = space.model_copy(
        update={"variables": tuple(v.model_copy(update={"choices": choices}) for v in space.variables)}
    )
    rounds = Rounds(space, macs_focus(space), truth(space, noise=1.0), most=most, seed=0)
    held_out = sum(len(some.configs) for some in rounds.held_out.values())
    assert rounds.fitted.configs
    assert held_out <= len(rounds.fitted.configs) + 1
    assert len(rounds.fitted.configs) + held_out < space.size


def test_without_a_device_multiply_accumulates_are_the_cost() -> None:
    """At shares of the uniform 1.0 network's."""
    full = costs(SPACE, SPACE.uniform(1.0)).macs
    assert FOCUS.budgets == pytest.approx([share * full for share in MACS_SHARES])
    rng = np.random.default_rng(0)
    for config in (SPACE.smallest, SPACE.largest, SPACE.sample(rng)):
        assert FOCUS.problem.latency_ms(np.array([SPACE.indices(config)]))[0] == costs(SPACE, config).macs


def test_the_expected_regret_is_that_of_trying_everything() -> None:
    """On a space of twelve configurations, for every draw of the losses."""
    space = small_space()
    focus = macs_focus(space)
    design = Design(space, ())
    mean = np.array([0.0, 0.3, 0.1, 0.2, 0.4])
    fit = LossFit(design, Posterior(mean, np.diag([1e-12, 0.04, 0.02, 0.03, 0.05]), 0.01, np.zeros(0)))
    budget = focus.budgets[-1]
    every = np.array(list(product(*(range(len(variable.choices)) for variable in space.variables))))
    affordable = every[focus.problem.latency_ms(every) <= budget]
    chosen = affordable[total(fit.factors(mean), affordable).argmin()]
    regrets = []
    for coefficients in fit.draws(DRAWS, np.random.default_rng(5)):
        losses = fit.factors(coefficients)
        regrets.append(total(losses, chosen[None])[0] - total(losses, affordable).min())
    doubt = focus.doubt(fit, budget, np.random.default_rng(5))
    assert doubt.regret == pytest.approx(np.mean(regrets))
    assert doubt.regret > 0


def test_without_losses_configurations_near_a_budget_are_as_likely_as_their_costs_alone_make_them() -> None:
    """The field of no losses: widths follow p ∝ exp(−weight × cost)."""
    field = ONE_BUDGET.field((), ONE_BUDGET.budgets[0], 1.0)
    assert field.mean_latency_ms == pytest.approx(ONE_BUDGET.budgets[0], rel=1e-5)
    expected = RandomField(ONE_BUDGET.with_losses(()), 1.0, field.latency_weight / field.temperature)
    for ours, theirs in zip(field.marginals, expected.marginals, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
