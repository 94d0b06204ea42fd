"""Bounds by reparametrisation against enumeration."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from search_problems import SHAPES, random_problem

from edgewidth.search.factors import total
from edgewidth.search.reparametrisation import Reparametrisation

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.problem import Problem


def everything(problem: Problem) -> Indices:
    return np.array(list(product(*map(range, problem.sizes))), dtype=np.intp)


def weighted(problem: Problem, weights: Array, rows: Indices) -> Array:
    sums: Array = weights[0] * total(problem.losses, rows) + weights[1] * total(problem.latencies, rows)
    return sums


@pytest.mark.parametrize("shape", SHAPES)
def test_every_sweep_bounds_the_minimum_and_none_lowers_the_bound(shape: str) -> None:
    """Also when the weights change in between."""
    for seed in range(5):
        problem = random_problem(shape, np.random.default_rng(seed), variables=6)
        rows = everything(problem)
        relaxed = Reparametrisation(problem.sizes, [problem.losses, problem.latencies])
        for weights in np.array([[1.0, 0.0], [1.0, 3.0], [0.0, 1.0], [1.0, 0.2]]):
            relaxed.weigh(weights)
            least, before = weighted(problem, weights, rows).min(), -np.inf
            for _ in range(12):
                bound, assignment = relaxed.sweep()
                assert before - 1e-9 <= bound <= least + 1e-9
                assert weighted(problem, weights, assignment[np.newaxis])[0] >= least - 1e-9
                before = bound


@pytest.mark.parametrize("shape", ["chain", "tree", "loose"])
def test_without_cycles_the_bound_is_the_minimum(shape: str) -> None:
    """A sweep or two find it, with its assignment."""
    for seed in range(5):
        problem = random_problem(shape, np.random.default_rng(seed), variables=7)
        relaxed = Reparametrisation(problem.sizes, [problem.losses, problem.latencies])
        weights = np.array([1.0, 0.7])
        relaxed.weigh(weights)
        bound, assignment = [relaxed.sweep() for _ in range(30)][-1]
        least = weighted(problem, weights, everything(problem)).min()
        assert bound == pytest.approx(least)
        assert weighted(problem, weights, assignment[np.newaxis])[0] == pytest.approx(least)


@pytest.mark.parametrize("shape", SHAPES)
def test_choices_are_bounded_by_their_own_minima(shape: str) -> None:
    """No choice has a bound above the least sum with it; the choices of a chain that is swept have exactly that."""
    problem = random_problem(shape, np.random.default_rng(3), variables=6)
    rows, weights = everything(problem), np.array([1.0, 0.5])
    sums = weighted(problem, weights, rows)
    relaxed = Reparametrisation(problem.sizes, [problem.losses, problem.latencies])
    relaxed.weigh(weights)
    for _ in range(40):
        relaxed.sweep()
    raised = 0
    for variable, bounds in enumerate(relaxed.least_with()):
        for choice, bound in enumerate(bounds):
            assert bound <= sums[rows[:, variable] == choice].min() + 1e-9
            raised += bound > sums.min() + 1e-3
    assert raised > 0
