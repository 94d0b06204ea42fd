"""Evolutionary search, as Once-for-All does it (Cai et al. 2020, arXiv 1908.09791)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.feasible import fastest
from edgewidth.search.problem import InfeasibleError

if TYPE_CHECKING:
    from edgewidth.search.problem import Indices, Point, Problem

_POPULATION = 100
_PARENTS = 25
_MUTATION = 0.1


def evolutionary(
    problem: Problem, budget_ms: float, rng: np.random.Generator, *, generations: int = 200
) -> Point | None:
    """The best assignment that mutation and crossover of feasible ones found; only feasible ones survive.

    A population of 100, of which the best quarter are parents; one variable in ten mutates. Starts from random
    assignments and the fastest one, moved towards the fastest until they are within the budgets.
    """
    try:
        anchor = np.array(fastest(problem).assignment, dtype=np.intp)
    except InfeasibleError:
        return None
    drawn = _random(problem, rng, _POPULATION)
    population = anchor[np.newaxis]
    for share in (0.0, 0.25, 0.5, 0.75):
        mixed = np.where(rng.random(drawn.shape) < share, anchor, drawn)
        population = np.concatenate([population, mixed])
    population = population[problem.within(population, budget_ms)]
    for _ in range(generations if len(population) else 0):
        parents = _best(problem, population, _PARENTS)
        children = _children(problem, parents, rng)
        population = np.concatenate([parents, children[problem.within(children, budget_ms)]])
    return problem.point(_best(problem, population, 1)[0]) if len(population) else None


def _children(problem: Problem, parents: Indices, rng: np.random.Generator) -> Indices:
    """Half of them mutants, half of them mixed from two parents."""
    first, second = parents[rng.integers(len(parents), size=(2, _POPULATION))]
    mutated = np.where(rng.random(first.shape) < _MUTATION, _random(problem, rng, _POPULATION), first)
    crossed = np.where(rng.random(first.shape) < 0.5, first, second)
    return np.concatenate([mutated[: _POPULATION // 2], crossed[_POPULATION // 2 :]])


def _best(problem: Problem, population: Indices, count: int) -> Indices:
    distinct = np.unique(population, axis=0)
    return distinct[problem.loss(distinct).argsort(kind="stable")[:count]]


def _random(problem: Problem, rng: np.random.Generator, count: int) -> Indices:
    return rng.integers(0, problem.sizes, size=(count, len(problem.sizes)))
