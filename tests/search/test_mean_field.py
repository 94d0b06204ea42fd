"""The independent approximation of the random field, where the tree-width is too large for the exact one."""

from __future__ import annotations

import numpy as np
import pytest
from search_problems import SHAPES, enumerate_all, random_problem, with_budgets

from edgewidth.search import elimination
from edgewidth.search.factors import Factor
from edgewidth.search.feasible import fastest
from edgewidth.search.field import RandomField, field_at_budget
from edgewidth.search.problem import Problem


@pytest.fixture(autouse=True)
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph is small enough for elimination."""
    monkeypatch.setattr(elimination, "MOST_WORK", 0)


def test_independent_variables_have_their_exact_probabilities() -> None:
    """Without factors over several variables nothing is approximated."""
    rng = np.random.default_rng(0)
    factors = tuple(Factor((v,), rng.uniform(0, 1, 4)) for v in range(3))
    field = RandomField(Problem((4, 4, 4), factors, factors), 0.3, 2.0)
    for marginal, factor in zip(field.marginals, factors, strict=True):
        expected = np.exp(-factor.values * (1 + 2.0) / 0.3)
        assert marginal == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_no_product_nearby_is_nearer_to_the_field(shape: str) -> None:
    """The free energy, by enumeration, has a minimum where coordinate descent stops."""
    problem = random_problem(shape, np.random.default_rng(1))
    field = RandomField(problem, 0.7, 0.3)
    rows = np.array([answer.assignment for answer in enumerate_all(problem)])
    energies = (problem.loss(rows) + 0.3 * problem.latency_ms(rows)) / 0.7

    def free_energy(marginals: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> float:
        logs = np.array([np.log(m[rows[:, v]] + 1e-300) for v, m in enumerate(marginals)]).sum(axis=0)
        return float(np.exp(logs) @ (energies + logs))

    least = free_energy(list(field.marginals))
    for variable, marginal in enumerate(field.marginals):
        for choice in range(len(marginal)):
            moved = list(field.marginals)
            moved[variable] = 0.95 * marginal + 0.05 * np.eye(len(marginal))[choice]
            assert free_energy(moved) >= least - 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mean_latency_is_that_of_the_draws_and_meets_the_budget(shape: str) -> None:
    """Within five standard errors of 20,000 draws."""
    problem = random_problem(shape, np.random.default_rng(2))
    quickest = fastest(problem).latency_ms
    budget_ms = quickest + 0.4 * (RandomField(problem, 1.0).mean_latency_ms - quickest)
    field = field_at_budget(problem, budget_ms, 1.0)
    assert field.mean_latency_ms == pytest.approx(budget_ms, rel=1e-3)
    drawn = problem.latency_ms(field.sample(20_000, np.random.default_rng(0)))
    assert abs(drawn.mean() - field.mean_latency_ms) <= 5 * drawn.std() / np.sqrt(20_000) + 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_no_draw_breaks_a_peak_budget(shape: str) -> None:
    """Although independent draws would now and then."""
    rng = np.random.default_rng(3)
    problem = random_problem(shape, rng)
    problem = Problem(
        problem.sizes, problem.losses, problem.latencies, peaks=with_budgets(problem, rng, share=0.9).peaks
    )
    assert np.isfinite(problem.loss(RandomField(problem, 5.0).sample(2000, rng))).all()
