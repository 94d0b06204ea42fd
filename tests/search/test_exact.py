"""The exact search against enumeration of every assignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from search_problems import SHAPES, Answer, enumerate_all, random_problem, with_budgets

from edgewidth.search import enumeration, tables
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor, total
from edgewidth.search.feasible import fastest
from edgewidth.search.problem import InfeasibleError, PeakBudget, Problem, SumBudget

if TYPE_CHECKING:
    from edgewidth.search.solution import Solution

EPS = 1e-9


def optimum(answers: Sequence[Answer], budget_ms: float) -> float:
    return min((answer.loss for answer in answers if answer.latency_ms <= budget_ms + EPS), default=np.inf)


def losses(solution: Solution) -> list[float]:
    return [solution.best.loss, *(point.loss for point in solution.alternatives)]


def single(values: Sequence[float], latencies: Sequence[float]) -> Problem:
    return Problem((len(values),), (Factor((0,), np.array(values)),), (Factor((0,), np.array(latencies)),))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(8))
def test_the_k_best_are_those_of_enumeration(shape: str, seed: int) -> None:
    """At random budgets, each equal to the latency of some assignment, on grids from coarse to fine."""
    rng = np.random.default_rng(seed)
    problem = random_problem(shape, rng)
    answers = enumerate_all(problem)
    for steps in (7, 300, 20_000):
        budget_ms = answers[rng.integers(len(answers))].latency_ms
        within = [answer.loss for answer in answers if answer.latency_ms <= budget_ms + EPS]
        solution = solve(problem, budget_ms, count=5, steps=steps)
        assert losses(solution) == pytest.approx(within[:5], abs=EPS)
        assert solution.best.latency_ms <= budget_ms + EPS
        assert solution.certificate.gap == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(6))
def test_sum_and_peak_budgets_are_kept_exactly(shape: str, seed: int) -> None:
    """The answer is that of enumeration under three kinds of budget, or infeasible exactly if nothing is left."""
    rng = np.random.default_rng(seed)
    problem = with_budgets(random_problem(shape, rng), rng, share=rng.uniform(0.1, 0.7))
    everything = enumerate_all(Problem(problem.sizes, problem.losses, problem.latencies))
    budget_ms = everything[rng.integers(len(everything))].latency_ms
    within = [answer.loss for answer in enumerate_all(problem) if answer.latency_ms <= budget_ms + EPS]
    if not within:
        with pytest.raises(InfeasibleError):
            solve(problem, budget_ms)
        return
    assert losses(solve(problem, budget_ms, count=3)) == pytest.approx(within[:3], abs=EPS)


@pytest.mark.parametrize("seed", range(4))
def test_a_tight_sum_budget_on_a_longer_chain(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is undecided to the last variable is looked at in the end, whatever was completed on the way."""
    monkeypatch.setattr(enumeration, "_PROBES", 1)
    rng, sizes = np.random.default_rng(seed), (7,) * 7
    rows = np.array(list(np.ndindex(sizes)), dtype=np.intp)

    def factors(scale: float) -> tuple[Factor, ...]:
        grown = np.linspace(0.2, 1.5, 7)
        return tuple(
            Factor((v, v + 1), scale * np.outer(grown, grown) * rng.uniform(0.3, 1.7) + rng.uniform(0, 0.02, (7, 7)))
            for v in range(6)
        )

    unary = tuple(Factor((v,), rng.uniform(0, 1) / np.linspace(0.2, 1.5, 7) + rng.uniform(0, 0.1, 7)) for v in range(7))
    latencies, sizes_of = factors(1.0), factors(1.0)
    free = Problem(sizes, unary, latencies)
    budget_ms = float(np.quantile(free.latency_ms(rows), 0.4))
    size = float(np.quantile(total(sizes_of, rows), 0.1))
    problem = Problem(sizes, unary, latencies, sums=(SumBudget("size", sizes_of, size),))
    best = np.sort(problem.loss(rows[problem.within(rows, budget_ms)]))[:5]
    found = solve(problem, budget_ms, count=5)
    assert losses(found) == pytest.approx(best.tolist(), abs=EPS)
    assert found.certificate.lower_bound == pytest.approx(best[0], abs=EPS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("budgets", [False, True])
def test_the_frontier_is_that_of_enumeration_to_the_grid(shape: str, *, budgets: bool) -> None:
    """At every budget: never better than the truth, its bound never above it, and as good as one grid error earlier."""
    rng = np.random.default_rng(5)
    problem = random_problem(shape, rng)
    if budgets:
        problem = with_budgets(problem, rng, share=0.8)
    answers = enumerate_all(problem)
    solution = solve(problem, max(answer.latency_ms for answer in answers), steps=2_000)
    frontier, error_ms = solution.frontier, solution.certificate.grid_error_ms
    assert (np.diff(frontier.latencies_ms) > 0).all()
    assert (np.diff(frontier.losses) < 0).all()
    for point, loss, latency_ms, bound in zip(*frontier, strict=True):
        assert problem.point(point)[1:] == pytest.approx((loss, latency_ms))
        assert bound - EPS <= optimum(answers, latency_ms) <= loss + EPS
    for budget_ms in {answer.latency_ms for answer in answers} if not budgets else ():
        best = frontier.losses[frontier.latencies_ms <= budget_ms + EPS].min(initial=np.inf)
        assert best <= optimum(answers, budget_ms - 2 * error_ms) + EPS


def test_the_frontier_bounds_hold_on_a_coarse_grid() -> None:
    """With four steps some points are not the best at their latency; the bounds are never above the truth there."""
    wrong = 0
    for seed in range(40):
        problem = random_problem("residual", np.random.default_rng(seed), choices=5)
        answers = enumerate_all(problem)
        frontier = solve(problem, answers[len(answers) // 2].latency_ms, steps=4).frontier
        for loss, latency_ms, bound in zip(*frontier[1:], strict=True):
            truth = optimum(answers, latency_ms)
            assert bound - EPS <= truth
            wrong += loss > truth + EPS
    assert wrong > 0


def test_the_certificate_bounds_the_optimum_when_labels_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hardly any labels and a coarse grid the answer may be wrong, but the bound must hold and say so."""
    monkeypatch.setattr(enumeration, "_MOST_LABELS", 1)
    monkeypatch.setattr(enumeration, "_PROBES", 1)
    open_gaps = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        problem = random_problem("cycle", rng)
        answers = enumerate_all(problem)
        budget_ms = answers[len(answers) // 2].latency_ms
        solution = solve(problem, budget_ms, steps=4)
        truth = optimum(answers, budget_ms)
        assert solution.certificate.lower_bound <= truth + EPS
        assert truth <= solution.best.loss + EPS
        assert solution.certificate.gap == pytest.approx(solution.best.loss - solution.certificate.lower_bound)
        open_gaps += solution.certificate.gap > 0
    assert open_gaps > 0


def test_one_variable() -> None:
    """The best of three choices that fit, though a later one is faster."""
    problem = single([3.0, 1.0, 2.0, 0.0], [1.0, 2.0, 1.5, 9.0])
    assert solve(problem, 2.0).best == ((1,), 1.0, 2.0)
    assert solve(problem, 1.99).best == ((2,), 2.0, 1.5)


def test_one_choice_each() -> None:
    """Nothing to choose: the only assignment, or infeasible."""
    problem = Problem((1, 1), (Factor((0, 1), np.array([[2.5]])),), (Factor((1,), np.array([4.0])),))
    assert solve(problem, 4.0).best == ((0, 0), 2.5, 4.0)
    with pytest.raises(InfeasibleError):
        solve(problem, 3.999)


@pytest.mark.parametrize("steps", [1, 3, 10, 20_000])
def test_a_budget_equal_to_the_cost_is_kept(steps: int) -> None:
    """0.1 + 0.2 is not 0.3 in floating point, nor on a grid; the assignment that costs it is within it all the same."""
    problem = Problem(
        (2, 2, 2),
        tuple(Factor((i,), np.array([1.0, 0.0])) for i in range(3)),
        tuple(Factor((i,), np.array([0.0, latency])) for i, latency in enumerate((0.1, 0.2, 0.7))),
    )
    assert solve(problem, 0.3, steps=steps).best.assignment == (1, 1, 0)
    assert solve(problem, 1.0, steps=steps).best.assignment == (1, 1, 1)


def test_latencies_of_zero() -> None:
    """Where nothing costs time, the least loss is chosen even at a budget of 0."""
    problem = single([3.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    solution = solve(problem, 0.0, count=3)
    assert losses(solution) == [1.0, 2.0, 3.0]
    assert solution.frontier.latencies_ms.tolist() == [0.0]


def test_a_budget_far_above_everything() -> None:
    """The unconstrained minimum, and no better frontier than up to it."""
    problem = random_problem("residual", np.random.default_rng(3))
    answers = enumerate_all(problem)
    for budget_ms in (1e9, np.inf):
        solution = solve(problem, budget_ms, count=4)
        assert losses(solution) == pytest.approx([answer.loss for answer in answers[:4]], abs=EPS)
        assert solution.frontier.losses[-1] == pytest.approx(answers[0].loss)


def test_all_losses_equal_needs_no_enumeration() -> None:
    """14^14 assignments tie; the search must not list them."""
    flat, rising = np.zeros(14), np.arange(14.0)
    problem = Problem(
        (14,) * 14,
        tuple(Factor((i,), flat) for i in range(14)),
        tuple(Factor((i, i + 1), rising[:, None] + rising) for i in range(13)),
    )
    solution = solve(problem, 100.0, count=3)
    assert losses(solution) == [0.0, 0.0, 0.0]
    assert solution.certificate.gap == 0


def test_infeasible_says_the_fastest() -> None:
    """Not monotone: the fastest assignment is not the one of smallest choices."""
    problem = single([3.0, 1.0, 2.0], [2.0, 1.5, 4.0])
    with pytest.raises(InfeasibleError, match=r"less than 1\.5 ms") as caught:
        solve(problem, 1.4)
    assert caught.value.fastest == ((1,), 1.0, 1.5)


def test_peak_budgets_that_forbid_everything() -> None:
    """There is not even a fastest assignment."""
    problem = single([3.0, 1.0], [2.0, 1.5])
    problem = Problem(
        problem.sizes, problem.losses, problem.latencies, peaks=(PeakBudget("memory", problem.latencies, 1.0),)
    )
    with pytest.raises(InfeasibleError) as caught:
        solve(problem, 10.0)
    assert caught.value.fastest is None


def test_sum_budgets_that_cannot_be_kept_together() -> None:
    """Each budget alone is feasible, both together are not; the fastest is within the latency budget."""
    ascending, descending = (Factor((0,), np.array(values)) for values in ([1.0, 2.0], [2.0, 1.0]))
    problem = Problem((2,), (ascending,), (ascending,), sums=(SumBudget("size", (descending,), 1.0),))
    with pytest.raises(InfeasibleError, match="all budgets exists") as caught:
        solve(problem, 1.0)
    assert caught.value.fastest == ((0,), 1.0, 1.0)
    assert solve(problem, 2.0).best.assignment == (1,)


def test_fastest_agrees_with_enumeration() -> None:
    """On every kind of graph."""
    for shape in SHAPES:
        problem = random_problem(shape, np.random.default_rng(11))
        assert fastest(problem).latency_ms == pytest.approx(min(a.latency_ms for a in enumerate_all(problem)))


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (Factor((0, 0), np.zeros((2, 2))), "distinct"),
        (Factor((2,), np.zeros(2)), "below 2"),
        (Factor((1,), np.zeros(2)), "shape"),
        (Factor((0,), np.array([0.0, np.nan])), "finite"),
    ],
)
def test_a_problem_checks_its_factors(factor: Factor, message: str) -> None:
    """Wrong scopes, shapes and numbers are refused when the problem is made."""
    with pytest.raises(ValueError, match=message):
        Problem((2, 3), (factor,), ())


def test_a_problem_has_choices() -> None:
    """A variable without a choice is no variable."""
    with pytest.raises(ValueError, match="at least one"):
        Problem((2, 0), (), ())


def test_large_graphs_are_solved_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid cut to a few steps still gives the proven answer."""
    monkeypatch.setattr(tables, "_MOST_VALUES", 500)
    problem = random_problem("cycle", np.random.default_rng(2), variables=6)
    answers = enumerate_all(problem)
    budget_ms = answers[len(answers) // 3].latency_ms
    solution = solve(problem, budget_ms)
    assert solution.best.loss == pytest.approx(optimum(answers, budget_ms), abs=EPS)
    assert solution.certificate.gap == 0
    assert solution.certificate.grid_error_ms > 0
