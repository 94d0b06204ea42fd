"""The best of given candidates, such as one width multiplier for all layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.search.problem import Point, Problem


def uniform(problem: Problem, budget_ms: float, candidates: Sequence[Sequence[int]]) -> Point | None:
    """The candidate of least loss within the budgets.

    Args:
        problem: The variables and what they cost.
        budget_ms: What the latency must not exceed.
        candidates: Assignments.
    """
    assignments = np.array(candidates, dtype=np.intp).reshape(-1, len(problem.sizes))
    kept = assignments[problem.within(assignments, budget_ms)]
    return problem.point(kept[problem.loss(kept).argmin()]) if len(kept) else None
