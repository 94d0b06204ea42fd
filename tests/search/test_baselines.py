"""The methods that the exact search is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from search_problems import SHAPES, enumerate_all, random_problem, with_budgets

from edgewidth.search.baselines import brute_force, evolutionary, greedy, lagrangian, uniform
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor
from edgewidth.search.problem import PeakBudget, Problem


@pytest.mark.parametrize("shape", SHAPES)
def test_brute_force_is_enumeration(shape: str) -> None:
    """And the exact search agrees with both."""
    rng = np.random.default_rng(9)
    problem = with_budgets(random_problem(shape, rng), rng, share=0.6)
    answers = enumerate_all(problem)
    budget_ms = answers[len(answers) // 2].latency_ms
    found = brute_force(problem, budget_ms)
    assert found is not None
    assert found.loss == pytest.approx(min(a.loss for a in answers if a.latency_ms <= budget_ms + 1e-9))
    assert solve(problem, budget_ms).best.loss == pytest.approx(found.loss)


def test_brute_force_refuses_large_spaces() -> None:
    """Ten to the tenth assignments would take hours."""
    with pytest.raises(ValueError, match="too many"):
        brute_force(Problem((10,) * 10, (), ()), 1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_lagrangian_finds_the_hull_vertex(shape: str) -> None:
    """The best assignment within the budget among the minima for a fine range of multipliers, by enumeration."""
    problem = random_problem(shape, np.random.default_rng(3))
    answers = enumerate_all(problem)
    losses, latencies = np.array([a.loss for a in answers]), np.array([a.latency_ms for a in answers])
    for budget_ms in np.quantile(latencies, [0.05, 0.3, 0.7]):
        weights = np.geomspace(1e-4, 1e3, 3000)[:, np.newaxis]
        vertices = (losses + weights * latencies).argmin(axis=1)
        expected = losses[vertices][latencies[vertices] <= budget_ms].min()
        found = lagrangian(problem, float(budget_ms))
        assert found is not None
        assert found.latency_ms <= budget_ms
        assert found.loss == pytest.approx(expected)


def test_lagrangian_misses_what_lies_above_the_hull() -> None:
    """The middle assignment is best within 2 ms, but no multiplier prefers it: why the search is not Lagrangian."""
    problem = Problem((3,), (Factor((0,), np.array([4.0, 3.0, 0.0])),), (Factor((0,), np.array([1.0, 2.0, 3.0])),))
    assert lagrangian(problem, 2.0) == ((0,), 4.0, 1.0)
    assert solve(problem, 2.0).best == ((1,), 3.0, 2.0)


def test_greedy_takes_the_cheapest_step() -> None:
    """First the variable that loses 1 for 2 ms, then the one that loses 1 for 1 ms."""
    problem = Problem(
        (2, 2),
        (Factor((0,), np.array([1.0, 0.0])), Factor((1,), np.array([1.0, 0.0]))),
        (Factor((0,), np.array([1.0, 2.0])), Factor((1,), np.array([1.0, 3.0]))),
    )
    assert greedy(problem, 5.0) == ((1, 1), 0.0, 5.0)
    assert greedy(problem, 4.0) == ((1, 0), 1.0, 3.0)
    assert greedy(problem, 2.5) == ((0, 0), 2.0, 2.0)
    assert greedy(problem, 1.0) is None


def test_greedy_weighs_losses_on_the_way_to_a_peak_budget() -> None:
    """While the second variable breaks it no configuration is allowed, and yet it costs less to cut it."""
    costs = (Factor((0,), np.array([20.0, 10.0, 0.0])), Factor((1,), np.array([2.0, 1.0, 0.0])))
    latencies = (Factor((0,), np.array([1.0, 2.0, 3.0])), Factor((1,), np.array([1.0, 2.0, 3.0])))
    peak = PeakBudget("activations", (Factor((1,), np.array([1.0, 2.0, 3.0])),), 1.0)
    problem = Problem((3, 3), costs, latencies, peaks=(peak,))
    assert greedy(problem, 6.0) == ((2, 0), 2.0, 4.0)


def test_uniform_takes_the_widest_candidate_that_fits() -> None:
    """Whatever the losses say, for it knows none; None where none fits."""
    problem = Problem((3,), (Factor((0,), np.array([2.0, 3.0, 0.0])),), (Factor((0,), np.array([1.0, 2.0, 3.0])),))
    assert uniform(problem, 2.5, [(0,), (1,), (2,)]) == ((1,), 3.0, 2.0)
    assert uniform(problem, 0.5, [(0,), (1,), (2,)]) is None
    assert uniform(problem, 2.5, []) is None


def test_evolution_finds_the_optimum_of_small_spaces_and_repeats() -> None:
    """1,024 assignments are few for it; the same seed gives the same answer."""
    problem = random_problem("residual", np.random.default_rng(5), variables=5, choices=6)
    answers = enumerate_all(problem)
    budget_ms = float(np.median([a.latency_ms for a in answers]))
    found = evolutionary(problem, budget_ms, np.random.default_rng(0), generations=50)
    assert found is not None
    assert found.loss == pytest.approx(min(a.loss for a in answers if a.latency_ms <= budget_ms))
    assert found == evolutionary(problem, budget_ms, np.random.default_rng(0), generations=50)
    assert evolutionary(problem, -1.0, np.random.default_rng(0)) is None


def test_no_baseline_beats_the_exact_search() -> None:
    """On graphs of ten variables, with sum and peak budgets where the method knows them."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        problem = random_problem(SHAPES[seed], rng, variables=10, choices=6)
        if seed % 2:
            problem = with_budgets(problem, rng, share=0.7)
        budget_ms = 0.5 * problem.point([size - 1 for size in problem.sizes]).latency_ms
        best = solve(problem, budget_ms).best
        rivals = [
            lagrangian(problem, budget_ms),
            greedy(problem, budget_ms),
            evolutionary(problem, budget_ms, rng, generations=30),
            uniform(problem, budget_ms, [[min(level, size - 1) for size in problem.sizes] for level in range(6)]),
        ]
        assert any(rivals)
        for rival in filter(None, rivals):
            assert best.loss <= rival.loss + 1e-9
