"""The dynamic programme over a latency grid: the least loss for every state of the table and every latency.

Latencies are rounded to the nearest cell, so that the errors of many steps cancel rather than add up. A table
is then an estimate; read ``above`` cells further on it is a lower bound, and what it holds ``below`` cells
further back is certainly within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgewidth.search.elimination import Plan
    from edgewidth.search.factors import Array, Indices

_MOST_VALUES = 2**25
"""All tables together hold at most this many numbers: 256 MB."""
_MOST_WORK = 2**29
"""At most this many additions, well under a second: larger graphs get a coarser grid."""
_BEYOND = 4
"""How many times the grid's own reach a latency is counted in cells."""
_ROUNDING_CELLS = 1e-6
"""Cells by which floating point may misplace a latency in one step; so a bound stays a bound."""


class ValueTables:
    """``tables[k][state, cell]``: the least loss of what is eliminated before step k, within ``cell`` grid steps.

    The last column stands for all further cells: latencies above ``top_ms`` need none of their own. The grid divides
    those up to there into ``steps``, fewer for large graphs. ``losses``, infinite where forbidden, and ``latencies``
    are one array over ``joint`` for every step of the plan.
    """

    def __init__(
        self, plan: Plan, losses: Sequence[Array], latencies: Sequence[Array], *, top_ms: float, steps: int
    ) -> None:
        self.plan = plan
        self.losses = [bucket.reshape(-1, bucket.shape[-1]) for bucket in losses]
        allowed = [np.isfinite(bucket) for bucket in losses]
        least = [float(b.min(where=a, initial=np.inf)) for b, a in zip(latencies, allowed, strict=True)]
        self.offset_ms = sum(least)
        """What every assignment needs at the least; the tables count from here."""
        self.latencies = [
            np.where(a, b - low, 0).reshape(-1, b.shape[-1])
            for a, b, low in zip(allowed, latencies, least, strict=True)
        ]
        span_ms = max(top_ms - self.offset_ms, 0.0)
        steps = self._affordable(steps)
        self.step_ms = span_ms / steps or 1.0
        # Far beyond the top all latencies are alike; cut there, they fit into an integer.
        exact = [np.minimum(bucket / self.step_ms, _BEYOND * steps) for bucket in self.latencies]
        self.cells = [np.rint(bucket).astype(np.intp) for bucket in exact]
        errors = [c - e for c, e in zip(self.cells, exact, strict=True)]
        self.above = [0.0, *accumulate(float(e.max()) + _ROUNDING_CELLS for e in errors)]
        """The most cells by which rounding overstates what is eliminated before step k."""
        self.below = [0.0, *accumulate(float(-e.min()) + _ROUNDING_CELLS for e in errors)]
        """The most cells by which rounding understates it."""
        self.length = int(span_ms / self.step_ms + self.above[-1]) + 1
        """How many cells a table has at the most."""
        self.states = [self._states_before(rank) for rank in range(len(plan.steps))]
        self.tables = self._fill()

    @property
    def final(self) -> Array:
        """The least loss within every cell."""
        final: Array = self.tables[-1][0]
        return final

    @property
    def error_ms(self) -> float:
        """The most by which rounding misjudges the latency of an assignment."""
        return max(self.above[-1], self.below[-1]) * self.step_ms

    def _affordable(self, steps: int) -> int:
        kept = sum(self.plan.states(step.before) for step in self.plan.steps)
        worked = sum(self.plan.states(step.joint) for step in self.plan.steps)
        return max(1, min(steps, _MOST_VALUES // kept, _MOST_WORK // worked))

    def _states_before(self, rank: int) -> Indices:
        """For every joint assignment of a step, the state of the table before it: (states after, choices)."""
        step, plan = self.plan.steps[rank], self.plan
        states = np.arange(plan.states(step.before)).reshape(plan.shape(step.before))
        joint = np.broadcast_to(plan.align(states, step.before, step.joint), plan.shape(step.joint))
        return joint.reshape(-1, plan.sizes[step.variable]).astype(np.intp)

    def _fill(self) -> list[Array]:
        tables = [np.zeros((1, 1))]
        spare = np.empty(self.length)
        for states, cells, losses in zip(self.states, self.cells, self.losses, strict=True):
            before = tables[-1]
            # Beyond what the steps so far can need a table stays constant, and its last column stands for it.
            after = np.empty((len(states), min(self.length, before.shape[1] + int(cells.max()))))
            for row, *choices in zip(after, states.tolist(), cells.tolist(), losses.tolist(), strict=True):
                _relax(row, before, spare, choices)
            tables.append(after)
        return tables

    def read(self, rank: int, states: Indices, cells: Indices) -> Array:
        """``tables[rank][states, cells]``, also beyond the last column; infinite where ``cells`` are negative."""
        table = self.tables[rank]
        values = table[states, np.clip(cells, 0, table.shape[1] - 1)]
        return np.where(cells >= 0, values, np.inf)

    def complete(self, assignments: Indices, rank: int, cells: Indices) -> Indices:
        """The best completion of assignments whose variables from step ``rank`` on are fixed.

        Args:
            assignments: (count, variables); what is eliminated before step ``rank`` is chosen anew.
            rank: The first step that is fixed.
            cells: How many grid steps are left for the others: (count,).

        Returns:
            (count, variables). Where nothing fits into ``cells``, the completion does not either.
        """
        assignments, cells = assignments.copy(), cells.copy()
        for k in reversed(range(rank)):
            after = self.state_after(k, assignments)
            left = cells[:, None] - self.cells[k][after]
            choice = (self.read(k, self.states[k][after], left) + self.losses[k][after]).argmin(axis=1)
            assignments[:, self.plan.steps[k].variable] = choice
            cells = np.take_along_axis(left, choice[:, None], axis=1)[:, 0]
        return assignments

    def state_after(self, rank: int, assignments: Indices) -> Indices:
        """The state of the table after step ``rank``: (count, variables) → (count,)."""
        state = np.zeros(len(assignments), dtype=np.intp)
        for variable in self.plan.steps[rank].after:
            state = state * self.plan.sizes[variable] + assignments[:, variable]
        return state


def _relax(row: Array, before: Array, spare: Array, choices: Sequence[Sequence[float]]) -> None:
    """One state after a step: the least over all choices of the eliminated variable."""
    row.fill(np.inf)
    width = before.shape[1]
    for state, shift, loss in zip(*choices, strict=True):
        moved = row[shift : shift + width]
        if loss != np.inf:
            np.minimum(moved, np.add(before[state, : len(moved)], loss, out=spare[: len(moved)]), out=moved)
            beyond = row[shift + width :]
            np.minimum(beyond, before[state, -1] + loss, out=beyond)
