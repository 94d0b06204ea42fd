"""Every assignment, for spaces that are small enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgewidth.search.problem import Point, Problem

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
