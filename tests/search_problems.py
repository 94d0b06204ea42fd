"""Random problems for the search, and their answers by enumeration in plain Python."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.factors import Factor
from edgewidth.search.problem import PeakBudget, Problem, SumBudget

if TYPE_CHECKING:
    from collections.abc import Sequence

SHAPES = ("chain", "tree", "cycle", "residual", "triples", "dense", "loose")
"""What the graphs of ``random_problem`` look like.

In ``dense`` all variables meet in pairs, and four of them at once; in ``loose`` some meet no other.
"""


class Answer(NamedTuple):
    """One assignment as enumeration sees it."""

    loss: float
    latency_ms: float
    assignment: tuple[int, ...]


def random_scopes(shape: str, variables: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Which variables meet."""
    chain: list[tuple[int, ...]] = [(i, i + 1) for i in range(variables - 1)]
    if shape == "tree":
        return [(int(rng.integers(i)), i) for i in range(1, variables)]
    if shape == "cycle":
        return [*chain, (variables - 1, 0)] if variables > 2 else chain
    if shape == "residual":  # variable 0 is the width that all blocks share
        return [*((0, i) for i in range(1, variables)), *((i, 0) for i in range(1, variables)), *chain[1::2]]
    if shape == "triples":
        return [(i, i + 2, i + 1) for i in range(variables - 2)]
    if shape == "dense":
        return [*((i, j) for i in range(variables) for j in range(i)), tuple(range(min(4, variables)))]
    return chain if shape == "chain" else chain[: variables // 2]


def random_problem(shape: str, rng: np.random.Generator, *, variables: int = 5, choices: int = 4) -> Problem:
    """A problem whose latencies ascend with zeros among them, and whose losses descend, not quite monotonically."""
    sizes = tuple(int(size) for size in rng.integers(1, choices + 1, variables))
    scopes = random_scopes(shape, variables, rng)

    def rising(scope: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        sides = [np.cumsum(rng.uniform(0, 1, sizes[v])) for v in scope]
        grown = np.prod(np.ix_(*sides), axis=0) if len(sides) == 1 else _outer(sides)
        return np.where(rng.random(grown.shape) < 0.1, 0.0, grown * rng.uniform(0.8, 1.2, grown.shape))

    latencies = [Factor(scope, rising(scope)) for scope in scopes] + [Factor((0,), rising((0,)))]
    losses = [Factor((v,), -rising((v,)) + rng.normal(0, 0.1, sizes[v])) for v in range(variables)]
    losses += [Factor(scope, rng.normal(0, 0.3, [sizes[v] for v in scope])) for scope in scopes[::2]]
    offset = Factor((), np.array(rng.uniform(0, 1)))
    return Problem(sizes, (*losses, offset), (*latencies, offset))


def with_budgets(problem: Problem, rng: np.random.Generator, *, share: float) -> Problem:
    """The problem with a sum budget and a peak budget that about ``share`` of the range allows."""
    size = tuple(Factor(f.scope, np.abs(f.values) * rng.uniform(0.5, 2, np.shape(f.values))) for f in problem.latencies)
    most = sum(float(f.values.max()) for f in size)
    peak = max(float(f.values.max()) for f in problem.latencies if f.scope)
    return Problem(
        problem.sizes,
        problem.losses,
        problem.latencies,
        sums=(SumBudget("size", size, share * most),),
        peaks=(PeakBudget("memory", problem.latencies[:-1], max(share, 0.9) * peak),),
    )


def enumerate_all(problem: Problem) -> list[Answer]:
    """Every assignment that keeps the sum and peak budgets, best first."""
    answers = []
    for assignment in product(*map(range, problem.sizes)):
        peaks_kept = all(_at(f, assignment) <= b.budget for b in problem.peaks for f in b.factors)
        sums_kept = all(_sum(b.factors, assignment) <= b.budget for b in problem.sums)
        if peaks_kept and sums_kept:
            answers.append(Answer(_sum(problem.losses, assignment), _sum(problem.latencies, assignment), assignment))
    return sorted(answers)


def _outer(
    sides: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    result = np.ones(())
    for side in sides:
        result = np.multiply.outer(result, side)
    return result


def _at(factor: Factor, assignment: tuple[int, ...]) -> float:
    return float(factor.values[tuple(assignment[v] for v in factor.scope)])


def _sum(factors: Sequence[Factor], assignment: tuple[int, ...]) -> float:
    return sum(_at(factor, assignment) for factor in factors)
