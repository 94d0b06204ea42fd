"""The random field against sums over every assignment."""

from __future__ import annotations

import numpy as np
import pytest
from search_problems import SHAPES, enumerate_all, random_problem, with_budgets

from edgewidth.search.elimination import fastest
from edgewidth.search.field import RandomField, field_at_budget
from edgewidth.search.problem import InfeasibleError, PeakBudget, Problem


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("peaks", [False, True])
def test_marginals_and_mean_are_those_of_enumeration(shape: str, *, peaks: bool) -> None:
    """Every probability, and the expected latency, from the definition."""
    rng = np.random.default_rng(7)
    problem = random_problem(shape, rng)
    if peaks:
        limited = with_budgets(problem, rng, share=0.9).peaks
        problem = Problem(problem.sizes, problem.losses, problem.latencies, peaks=limited)
    answers = enumerate_all(problem)
    weights = np.array([np.exp(-(a.loss + 0.3 * a.latency_ms) / 0.7) for a in answers])
    weights /= weights.sum()
    field = RandomField(problem, 0.7, 0.3)
    for variable, marginal in enumerate(field.marginals):
        expected = np.zeros(problem.sizes[variable])
        np.add.at(expected, [a.assignment[variable] for a in answers], weights)
        assert marginal == pytest.approx(expected)
    assert field.mean_latency_ms == pytest.approx(float(weights @ [a.latency_ms for a in answers]))


def test_draws_have_the_joint_probabilities() -> None:
    """The share of each assignment among 40,000 draws, within five standard errors."""
    problem = random_problem("cycle", np.random.default_rng(0), variables=3, choices=3)
    answers = enumerate_all(problem)
    expected = np.array([np.exp(-a.loss) for a in answers])
    expected /= expected.sum()
    draws = RandomField(problem, 1.0).sample(40_000, np.random.default_rng(1))
    found = np.array([(draws == a.assignment).all(axis=1).mean() for a in answers])
    assert found.sum() == pytest.approx(1)
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / 40_000) + 1e-9).all()


@pytest.mark.parametrize("temperature", [3.0, 0.3, 0.01])
def test_the_mean_latency_meets_the_budget(temperature: float) -> None:
    """Whatever the temperature; with the least weight that does it."""
    problem = random_problem("residual", np.random.default_rng(2))
    quickest = fastest(problem).latency_ms
    budget_ms = quickest + 0.3 * (RandomField(problem, temperature).mean_latency_ms - quickest)
    field = field_at_budget(problem, budget_ms, temperature)
    assert budget_ms * (1 - 1e-5) <= field.mean_latency_ms <= budget_ms
    assert RandomField(problem, temperature, 0.999 * field.latency_weight).mean_latency_ms > budget_ms


def test_a_budget_that_binds_nothing_or_everything() -> None:
    """Far above, the weight is 0; at the fastest assignment, that one is drawn; below it there is none."""
    problem = random_problem("chain", np.random.default_rng(2))
    quickest = fastest(problem)
    assert field_at_budget(problem, 1e6, 1.0).latency_weight == 0
    drawn = field_at_budget(problem, quickest.latency_ms, 1.0).sample(5, np.random.default_rng(0))
    assert problem.latency_ms(drawn) == pytest.approx(quickest.latency_ms)
    with pytest.raises(InfeasibleError) as caught:
        field_at_budget(problem, 0.99 * quickest.latency_ms, 1.0)
    assert caught.value.fastest == quickest


def test_a_field_needs_a_temperature_and_an_assignment() -> None:
    """Zero temperature is no distribution, and nothing can be drawn where all is forbidden."""
    problem = random_problem("chain", np.random.default_rng(2))
    with pytest.raises(ValueError, match="above 0"):
        RandomField(problem, 0.0)
    peaks = (PeakBudget("memory", problem.latencies, -1.0),)
    with pytest.raises(InfeasibleError):
        RandomField(Problem(problem.sizes, problem.losses, problem.latencies, peaks=peaks), 1.0)
