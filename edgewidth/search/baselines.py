"""What the exact search is compared with; each returns None where it finds nothing within the budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.dual import maximise_dual
from edgewidth.search.factors import total
from edgewidth.search.feasible import fastest
from edgewidth.search.hull import hull_edge
from edgewidth.search.problem import InfeasibleError
from edgewidth.search.relaxed import Relaxed

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.problem import Point, Problem

    Costs = Callable[[Indices], Array]
    """What each assignment costs: (count, variables) → (count,)."""


def uniform(problem: Problem, budget_ms: float, candidates: Sequence[Sequence[int]]) -> Point | None:
    """The widest candidate within the budgets: what one has without a search, and without losses.

    ``candidates`` are assignments from the narrowest to the widest.
    """
    assignments = np.array(candidates, dtype=np.intp).reshape(-1, len(problem.sizes))
    kept = assignments[problem.within(assignments, budget_ms)]
    return problem.point(kept[-1]) if len(kept) else None


def greedy(problem: Problem, budget_ms: float) -> Point | None:
    """Greedy slimming, as AutoSlim does it (Yu and Huang 2019, arXiv 1903.11728).

    From the largest, one choice of one variable goes down at a time, until within the budgets. Losses and latencies are
    the problem's; see ``slimming``.
    """

    def losses(assignments: Indices) -> Array:
        # Finite also where a peak budget is broken, as on most of the way: the cheapest step counts there, too.
        return total(problem.losses, assignments)

    for current in slimming(problem.sizes, losses, problem.latency_ms):
        if problem.within(current[np.newaxis], budget_ms)[0]:
            return problem.point(current)
    return None


def slimming(sizes: tuple[int, ...], losses: Costs, latencies: Costs) -> Iterator[Indices]:
    """The assignments (variables,) on the way from the largest to the smallest.

    Every variable's choices ascend in size, and each step takes one of them one choice down: the one that costs
    least loss per millisecond; where none saves latency, the one that costs least loss. ``losses`` may be those
    that a supernet really has, which makes a step as many evaluations as there are variables.
    """
    current = np.array(sizes, dtype=np.intp) - 1
    yield current
    while (current > 0).any():
        smaller = current - np.eye(len(current), dtype=np.intp)[current > 0]
        around = np.vstack([current, smaller])
        current = smaller[_cheapest(losses(around), latencies(around))]
        yield current


def _cheapest(losses: Array, latencies: Array) -> int:
    """Which of the others to take in place of the first."""
    lost, saved = losses[1:] - losses[0], latencies[0] - latencies[1:]
    if not (saved > 0).any():
        return int(lost.argmin())
    return int(np.where(saved > 0, lost / np.where(saved > 0, saved, 1), np.inf).argmin())


def lagrangian(problem: Problem, budget_ms: float) -> Point | None:
    """The Lagrangian method of AOWS (Berman et al., CVPR 2020), carried to its limit.

    It finds the assignment within the budget that minimises loss + multiplier × latency for some multiplier. AOWS runs
    Viterbi inside a bisection on the multiplier, 12 steps. Its limit is the last vertex of the convex hull within the
    budget, which the secant method finds exactly; so the comparison is with the best that the method can do. On a graph
    of large tree-width the minima are those that reparametrisation finds. Sum budgets beside latency are not part of
    it.
    """
    vertices = _vertices(problem, budget_ms)
    within = vertices[problem.within(vertices, budget_ms)]
    return problem.point(within[problem.loss(within).argmin()]) if len(within) else None


_SWEEPS = 5


def _vertices(problem: Problem, budget_ms: float) -> Indices:
    """Minima for multipliers around the best one, that one's among them: (any number, variables)."""
    plan = problem.plan
    if plan.is_small:
        losses = plan.buckets((*problem.losses, *problem.forbidden))
        edge = hull_edge(plan, losses, plan.buckets(problem.latencies), problem.relaxed_ms(budget_ms))
        return edge.assignment[np.newaxis]
    free = replace(problem, sums=())
    relaxed = Relaxed(free, budget_ms)
    return maximise_dual(free, budget_ms, relaxed.ranges, lambda weights: relaxed.minimum(weights, _SWEEPS)).assignments


_POPULATION = 100
_PARENTS = 25
_MUTATION = 0.1


def evolutionary(
    problem: Problem, budget_ms: float, rng: np.random.Generator, *, generations: int = 200
) -> Point | None:
    """Evolutionary search, as Once-for-All does it (Cai et al. 2020, arXiv 1908.09791).

    The best assignment that mutation and crossover of feasible ones found; only feasible ones survive. A population of
    100, of which the best quarter are parents; one variable in ten mutates. Starts from random assignments and the
    fastest one, moved towards the fastest until they are within the budgets.
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


MOST_ASSIGNMENTS = 10_000_000
_CHUNK = 100_000


def brute_force(problem: Problem, budget_ms: float) -> Point | None:
    """The best of all assignments within the budgets.

    Raises:
        ValueError: There are more than ``MOST_ASSIGNMENTS``.
    """
    count = math.prod(problem.sizes)
    if count > MOST_ASSIGNMENTS:
        raise ValueError(f"{count} assignments are too many to try them all; at most {MOST_ASSIGNMENTS} are tried")
    best: Point | None = None
    for start in range(0, count, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, count))
        assignments = np.stack(np.unravel_index(numbers, problem.sizes), axis=1)
        kept = assignments[problem.within(assignments, budget_ms)]
        if len(kept):
            found = problem.point(kept[problem.loss(kept).argmin()])
            best = found if best is None or found.loss < best.loss else best
    return best
