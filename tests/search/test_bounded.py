"""The search of dense graphs against enumeration, and against the exact search where both are possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_problems import SHAPES, enumerate_all, random_problem, with_budgets

from edgewidth.search import elimination
from edgewidth.search.bounded import solve_bounded
from edgewidth.search.exact import solve
from edgewidth.search.factors import Factor
from edgewidth.search.feasible import fastest
from edgewidth.search.neighbourhood import compact, conditioned, random_forest, restricted
from edgewidth.search.problem import InfeasibleError, PeakBudget, Problem, SumBudget

EPS = 1e-9
NOTHING_IS_SMALL = 0
FORESTS_ARE_SMALL = 150


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph is small enough for elimination, not even in part."""
    monkeypatch.setattr(elimination, "MOST_WORK", NOTHING_IS_SMALL)


def limited(shape: str, rng: np.random.Generator, *, budgets: bool) -> Problem:
    problem = random_problem(shape, rng)
    return with_budgets(problem, rng, share=0.7) if budgets else problem


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("budgets", [False, True])
def test_what_remains_of_a_small_graph_is_proven(shape: str, *, budgets: bool) -> None:
    """The three best are those of enumeration, under latency alone and under three kinds of budget."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        problem = limited(shape, rng, budgets=budgets)
        answers = enumerate_all(problem)
        budget_ms = answers[rng.integers(len(answers))].latency_ms
        within = [answer.loss for answer in answers if answer.latency_ms <= budget_ms + EPS]
        solution = solve_bounded(problem, budget_ms, count=3)
        found = [solution.best.loss, *(point.loss for point in solution.alternatives)]
        assert found == pytest.approx(within[:3], abs=EPS)
        assert solution.certificate.gap == pytest.approx(0, abs=EPS)
        assert solution.certificate.bounded


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 10_000),
    budgets=st.booleans(),
    most_work=st.sampled_from([NOTHING_IS_SMALL, FORESTS_ARE_SMALL]),
)
def test_the_optimum_lies_between_bound_and_answer(shape: str, seed: int, *, budgets: bool, most_work: int) -> None:
    """Whatever graph, budgets and parts that are searched exactly; the same along the frontier."""
    rng = np.random.default_rng(seed)
    problem = limited(shape, rng, budgets=budgets)
    answers = enumerate_all(problem)
    budget_ms = answers[rng.integers(len(answers))].latency_ms if answers else 1.0
    within = [answer.loss for answer in answers if answer.latency_ms <= budget_ms + EPS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination, "MOST_WORK", most_work)
        if not within:
            with pytest.raises(InfeasibleError):
                solve_bounded(problem, budget_ms, count=2)
            return
        try:
            solution = solve_bounded(problem, budget_ms, count=2)
        except InfeasibleError as error:
            # With nothing but the relaxation, an assignment within all budgets may be missed.
            if "was found" not in str(error):
                raise
            return
    best, certificate = solution.best, solution.certificate
    assert certificate.lower_bound - EPS <= within[0] <= best.loss + EPS
    assert certificate.gap == pytest.approx(best.loss - certificate.lower_bound)
    assert best.latency_ms <= budget_ms + EPS
    for assignment, loss, latency_ms, bound in zip(*solution.frontier, strict=True):
        assert problem.within(assignment[np.newaxis], latency_ms)[0]
        optimum = min(answer.loss for answer in answers if answer.latency_ms <= latency_ms + EPS)
        assert bound - EPS <= optimum <= loss + EPS


@pytest.mark.parametrize("seed", range(3))
def test_a_residual_graph_is_answered_as_the_exact_search_does(seed: int) -> None:
    """Thirty variables of six choices: the same answer, and a frontier that comes near."""
    problem = random_problem("residual", np.random.default_rng(seed), variables=30, choices=6)
    budget_ms = 0.5 * (fastest(problem).latency_ms + problem.point([size - 1 for size in problem.sizes]).latency_ms)
    exact, bounded = solve(problem, budget_ms), solve_bounded(problem, budget_ms, count=1)
    assert not exact.certificate.bounded
    assert bounded.best.loss == pytest.approx(exact.best.loss)
    assert bounded.certificate.lower_bound <= exact.best.loss + EPS
    span = float(np.ptp(exact.frontier.losses))
    found = np.searchsorted(bounded.frontier.latencies_ms, exact.frontier.latencies_ms, side="right") - 1
    assert bounded.frontier.latencies_ms[0] == pytest.approx(exact.frontier.latencies_ms[0])
    assert (bounded.frontier.losses[found.clip(0)] - exact.frontier.losses).mean() < 0.02 * span


def test_a_dense_graph_has_a_small_gap() -> None:
    """All pairs of 24 variables: tables over them would have 4^24 states."""
    rng = np.random.default_rng(0)
    sizes, grown = (4,) * 24, np.array([0.4, 0.7, 1.0, 1.4])
    pairs = [(i, j) for i in range(24) for j in range(i)]
    latencies = tuple(Factor(pair, np.outer(grown, grown) * rng.uniform(0.5, 1.5, (4, 4))) for pair in pairs)
    losses = tuple(Factor((v,), rng.uniform(1, 3) / grown) for v in range(24))
    problem = Problem(sizes, losses, latencies)
    solution = solve(problem, 200.0)
    span = float(np.ptp(solution.frontier.losses))
    assert solution.certificate.bounded
    assert solution.best.latency_ms <= 200.0
    assert 0 <= solution.certificate.gap < 0.05 * span


@pytest.mark.usefixtures("dense")
def test_infeasible_latency_says_the_fastest_found() -> None:
    """One variable, whose fastest choice is not its first."""
    problem = Problem((3,), (), (Factor((0,), np.array([2.0, 1.5, 4.0])),))
    with pytest.raises(InfeasibleError, match=r"found that needs less than 1\.5 ms") as caught:
        solve(problem, 1.4)
    assert caught.value.fastest == ((1,), 0.0, 1.5)


@pytest.mark.usefixtures("dense")
def test_infeasible_sums_and_peaks_are_proven_where_the_bound_does() -> None:
    """Both budgets alone can be kept, together they cannot; and a peak budget below everything."""
    ascending, descending = (Factor((0,), np.array(values)) for values in ([1.0, 2.0], [2.0, 1.0]))
    problem = Problem((2,), (ascending,), (ascending,), sums=(SumBudget("size", (descending,), 1.0),))
    with pytest.raises(InfeasibleError, match="all budgets") as caught:
        solve(problem, 1.0)
    assert caught.value.fastest == ((0,), 1.0, 1.0)
    assert solve(problem, 2.0).best.assignment == (1,)
    problem = Problem((2,), (ascending,), (ascending,), peaks=(PeakBudget("memory", (ascending,), 0.5),))
    with pytest.raises(InfeasibleError, match="forbid every assignment") as caught:
        solve(problem, 2.0)
    assert caught.value.fastest is None


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_of_a_problem_cost_what_the_whole_does(shape: str) -> None:
    """Some variables fixed, or some choices left out: the budgets allow the same, at the same loss and latency."""
    rng = np.random.default_rng(4)
    problem = with_budgets(random_problem(shape, rng), rng, share=0.6)
    assignment = np.array([rng.integers(size) for size in problem.sizes])
    free = np.sort(rng.permutation(len(problem.sizes))[:3])
    rows = np.repeat(assignment[np.newaxis], 30, axis=0)
    rows[:, free] = rng.integers(0, [problem.sizes[v] for v in free], (30, 3))
    choices = [np.arange(size)[-2:] for size in problem.sizes]
    kept = np.array([rng.integers(0, [len(c) for c in choices]) for _ in range(30)])
    of_kept = np.stack([c[kept[:, v]] for v, c in enumerate(choices)], axis=1)
    for part, inner, outer in (
        (conditioned(problem, free, assignment), rows[:, free], rows),
        (restricted(problem, choices), kept, of_kept),
        (compact(problem), rows, rows),
    ):
        assert part.loss(inner) == pytest.approx(problem.loss(outer))
        assert part.latency_ms(inner) == pytest.approx(problem.latency_ms(outer))
        for budget_ms in np.quantile(problem.latency_ms(outer), [0.3, 0.7]) + EPS:
            assert part.within(inner, budget_ms).tolist() == problem.within(outer, budget_ms).tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_forest_has_no_cycle_and_no_room_for_more(shape: str) -> None:
    """By counting: a graph of v vertices in c parts is a forest if it has v - c edges."""
    problem = random_problem(shape, np.random.default_rng(0), variables=9)
    edges = {(a, b) for scope in problem.scopes for a in scope for b in scope if a < b}

    def is_forest(vertices: set[int]) -> bool:
        inner = [edge for edge in edges if vertices.issuperset(edge)]
        part = {v: v for v in vertices}
        for a, b in inner:
            joined = part[a], part[b]
            part = {v: joined[0] if p in joined else p for v, p in part.items()}
        return len(inner) == len(vertices) - len(set(part.values()))

    for seed in range(5):
        free = set(random_forest(problem, np.random.default_rng(seed)).tolist())
        assert is_forest(free)
        assert not any(is_forest(free | {v}) for v in range(9) if v not in free)
