"""Greedy slimming, as AutoSlim does it (Yu and Huang 2019, arXiv 1903.11728)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgewidth.search.problem import Array, Indices, Point, Problem


def greedy(problem: Problem, budget_ms: float) -> Point | None:
    """From the largest, one choice of one variable down at a time, until within the budgets.

    Every variable's choices ascend in size. Each step is the one that costs least loss per millisecond; where
    none saves latency, the one that costs least loss.
    """
    current = np.array(problem.sizes, dtype=np.intp) - 1
    for _ in range(sum(problem.sizes)):
        if problem.within(current[np.newaxis], budget_ms)[0]:
            return problem.point(current)
        smaller = current - np.eye(len(current), dtype=np.intp)[current > 0]
        if not len(smaller):
            break
        current = smaller[_cheapest(problem, current, smaller)]
    return None


def _cheapest(problem: Problem, current: Indices, smaller: Indices) -> int:
    # Peak budgets make losses infinite; until they are kept, only what is finite can be compared.
    all_losses: Array = np.nan_to_num(problem.loss(np.vstack([current, smaller])), posinf=0.0)
    all_latencies = problem.latency_ms(np.vstack([current, smaller]))
    lost, saved = all_losses[1:] - all_losses[0], all_latencies[0] - all_latencies[1:]
    if not (saved > 0).any():
        return int(lost.argmin())
    return int(np.where(saved > 0, lost / np.where(saved > 0, saved, 1), np.inf).argmin())
