"""What a search answers, and what it says of its own quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgewidth.search.frontier import Frontier
    from edgewidth.search.problem import Point


class Certificate(NamedTuple):
    """How much better an assignment could exist.

    None within the budgets has a loss below ``lower_bound``; ``gap`` is the best one's loss less that: 0 when the
    best one is proven to be the optimum, up to the rounding of floating-point sums. ``grid_error_ms`` is the most
    by which the grid misjudges a latency; it concerns the frontier, while the gap already accounts for it.
    """

    lower_bound: float
    gap: float
    grid_error_ms: float
    bounded: bool = False
    """Whether the tree-width is too large for value tables: then the frontier is the best that was found, with
    bounds, and so is the best assignment where the gap is above 0."""


class Solution(NamedTuple):
    """What a search found."""

    best: Point
    alternatives: tuple[Point, ...]
    """The next best within the budgets, best first; where the certificate has a gap, the next best found."""
    certificate: Certificate
    frontier: Frontier
