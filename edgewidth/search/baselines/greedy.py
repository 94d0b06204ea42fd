"""Greedy slimming, as AutoSlim does it (Yu and Huang 2019, arXiv 1903.11728)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgewidth.search.problem import Array, Indices, Point, Problem

    Costs = Callable[[Indices], Array]
    """What each assignment costs: (count, variables) → (count,)."""


def greedy(problem: Problem, budget_ms: float) -> Point | None:
    """From the largest, one choice of one variable down at a time, until within the budgets.

    Losses and latencies are the problem's; see ``slimming``.
    """

    def losses(assignments: Indices) -> Array:
        # Peak budgets make losses infinite; until they are kept, only what is finite can be compared.
        finite: Array = np.nan_to_num(problem.loss(assignments), posinf=0.0)
        return finite

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
