"""One width multiplier for all layers, as wide as the budgets allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.search.problem import Point, Problem


def uniform(problem: Problem, budget_ms: float, candidates: Sequence[Sequence[int]]) -> Point | None:
    """The widest candidate within the budgets: what one has without a search, and without losses.

    Args:
        problem: The variables and what they cost.
        budget_ms: What the latency must not exceed.
        candidates: Assignments, from the narrowest to the widest.
    """
    assignments = np.array(candidates, dtype=np.intp).reshape(-1, len(problem.sizes))
    kept = assignments[problem.within(assignments, budget_ms)]
    return problem.point(kept[-1]) if len(kept) else None
