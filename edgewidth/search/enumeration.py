"""Makes proven answers of the value tables: branch and bound, backwards through the steps.

A label fixes the variables of the last steps exactly, without any grid. For what is still open the tables give
a completion and a bound that no completion can beat, the Lagrangian relaxation another. They lie so close
together that few labels stay undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.elimination import minima
from edgewidth.search.problem import ROUNDING, largest

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Indices
    from edgewidth.search.problem import Problem
    from edgewidth.search.tables import ValueTables

_MOST_LABELS = 20_000
"""Beyond this the least promising are given up, and the certificate says what that may cost."""
_PROBES = 64
"""How many completions per step are held against the budgets."""


class Enumeration(NamedTuple):
    """The best assignments found, best first, and what no assignment within the budgets goes below."""

    assignments: Indices
    """(found, variables); fewer than asked for where there are no more."""
    lower_bound: float


class Pool:
    """The ``count`` best distinct assignments within the budgets so far."""

    def __init__(self, problem: Problem, budget_ms: float, count: int) -> None:
        self._problem, self._budget_ms, self._count = problem, budget_ms, count
        self.assignments = np.empty((0, len(problem.sizes)), dtype=np.intp)
        self.losses = np.empty(0)

    @property
    def best(self) -> float:
        """The least loss; infinite while there is none."""
        return float(self.losses[0]) if len(self.losses) else np.inf

    @property
    def worst(self) -> float:
        """What a new assignment must go below to enter."""
        return float(self.losses[-1]) if len(self.losses) == self._count else np.inf

    def add(self, assignments: Indices) -> None:
        """Take in those that keep all budgets."""
        kept = assignments[self._problem.within(assignments, self._budget_ms)]
        merged = np.unique(np.concatenate([self.assignments, kept]), axis=0)
        losses = self._problem.loss(merged)
        best = losses.argsort(kind="stable")[: self._count]
        self.assignments, self.losses = merged[best], losses[best]


class _Labels(NamedTuple):
    """Partial assignments: their loss so far, and what is left of the latency and of each sum budget."""

    assignments: Indices
    losses: Array
    spare_ms: Array
    spares: Array  # (labels, sum budgets)
    states: Indices
    """The states in the table before the last step taken: labels of one state have the same completions."""
    lower: Array
    """No completion has a loss below this."""

    def take(self, chosen: Indices) -> _Labels:
        return _Labels(
            self.assignments[chosen],
            self.losses[chosen],
            self.spare_ms[chosen],
            self.spares[chosen],
            self.states[chosen],
            self.lower[chosen],
        )


class BranchAndBound:
    """The ``count`` best assignments within the budgets.

    Args:
        problem: What to minimise.
        tables: Made of the problem's latencies and of losses that are a lower bound of the problem's for every
            assignment that keeps the sum budgets; without such budgets, the problem's losses themselves.
        weight: A Lagrange multiplier of the latency budget: any from 0 is right, a good one makes it quick.
        budget_ms: What the latency must not exceed.
        count: How many assignments to find.
    """

    def __init__(
        self, problem: Problem, tables: ValueTables, *, weight: float, budget_ms: float, count: int = 1
    ) -> None:
        self._problem, self._tables, self._weight, self._budget_ms = problem, tables, weight, budget_ms
        self._count = count
        plan = tables.plan
        shapes = [plan.shape(step.joint) for step in plan.steps]
        relaxed = [(a + weight * b).reshape(s) for a, b, s in zip(tables.losses, tables.latencies, shapes, strict=True)]
        self._relaxed = [message.ravel() for message in minima(plan, relaxed)]
        costs = [plan.buckets(budget.factors) for budget in problem.sums]
        self._costs = [[b.reshape(-1, b.shape[-1]) for b in resource] for resource in costs]
        self._least = [[message.ravel() for message in minima(plan, resource)] for resource in costs]
        span_ms = abs(budget_ms - tables.offset_ms)
        self._tolerance = ROUNDING * (largest(problem.losses) + (weight * span_ms if weight else 0))
        self._pool = Pool(problem, budget_ms, count)
        self._given_up = np.inf

    def run(self, known: Indices) -> Enumeration:
        """Search, starting from assignments that are known: (any number, variables)."""
        self._pool.add(known)
        labels = self._root()
        self._pool.add(self._near_the_budget(labels))
        for rank in reversed(range(len(self._tables.plan.steps))):
            if not len(labels.losses):
                break
            labels = self._extend(labels, rank)
            self._probe(labels, rank)
            labels = self._promising(labels)
            if rank:
                labels = self._affordable(labels)
            else:  # nothing is open any more
                self._pool.add(labels.assignments)
        return Enumeration(self._pool.assignments, min(self._pool.best, self._given_up))

    def _root(self) -> _Labels:
        problem = self._problem
        return _Labels(
            np.zeros((1, len(problem.sizes)), dtype=np.intp),
            np.zeros(1),
            np.array([problem.relaxed_ms(self._budget_ms) - self._tables.offset_ms]),
            np.array([[budget.relaxed for budget in problem.sums]]),
            np.zeros(1, dtype=np.intp),
            np.zeros(1),
        )

    def _extend(self, labels: _Labels, rank: int) -> _Labels:
        """The labels with every choice of the variable of step ``rank``, but for those that cannot fit."""
        tables, variable = self._tables, self._tables.plan.steps[rank].variable
        size = tables.plan.sizes[variable]
        after = tables.state_after(rank, labels.assignments)
        parent = np.repeat(np.arange(len(after)), size)
        assignments = labels.assignments[parent]
        assignments[:, variable] = np.tile(np.arange(size), len(after))
        losses = (labels.losses[:, None] + tables.losses[rank][after]).ravel()
        spare_ms = (labels.spare_ms[:, None] - tables.latencies[rank][after]).ravel()
        states = tables.states[rank][after].ravel()
        spares = labels.spares[parent]
        fits = (spare_ms >= 0) & np.isfinite(losses)
        for i, (costs, least) in enumerate(zip(self._costs, self._least, strict=True)):
            spares[:, i] -= costs[rank][after].ravel()
            fits &= spares[:, i] >= least[rank][states]
        lower = np.maximum(
            tables.read(rank, states, self._cells(spare_ms, tables.above[rank])),
            self._relaxed[rank][states] - (self._weight * spare_ms if self._weight else 0),
        )
        extended = _Labels(assignments, losses, spare_ms, spares, states, losses + lower)
        return extended.take(np.flatnonzero(fits))

    def _cells(self, spare_ms: Array, more: float) -> Indices:
        last = self._tables.length  # a budget may be without bound
        return np.floor(np.minimum(spare_ms / self._tables.step_ms + more, last)).astype(np.intp)

    def _near_the_budget(self, root: _Labels) -> Indices:
        """What the last table chooses for the budget and for the cells below it that choose differently."""
        end = max(0, int(self._cells(root.spare_ms, 0.0)[0]) + 1)
        final = np.concatenate([[np.inf], self._tables.final[:end]])
        cells = np.flatnonzero(final[1:] < final[:-1])[-max(self._count, _PROBES) :]
        start = np.repeat(root.assignments, len(cells), axis=0)
        return self._tables.complete(start, len(self._tables.plan.steps), cells)

    def _probe(self, labels: _Labels, rank: int) -> None:
        """Complete the labels whose completions look best, and keep what is within the budgets."""
        cells = self._cells(labels.spare_ms, 0.0)
        upper = labels.losses + self._tables.read(rank, labels.states, cells)
        probes = min(max(self._count, _PROBES), len(upper))
        if probes:
            chosen = upper.argpartition(probes - 1)[:probes]
            chosen = chosen[upper[chosen] < self._pool.worst]
            self._pool.add(self._tables.complete(labels.assignments[chosen], rank, cells[chosen]))

    def _promising(self, labels: _Labels) -> _Labels:
        """The labels that could still beat the pool."""
        labels = labels.take(np.flatnonzero(labels.lower < self._pool.worst - self._tolerance))
        if not self._costs:
            labels = labels.take(undominated(labels.states, -labels.spare_ms, labels.losses, self._count))
        return labels

    def _affordable(self, labels: _Labels) -> _Labels:
        """At most ``_MOST_LABELS`` of them; what is given up, the certificate will say."""
        if len(labels.lower) > _MOST_LABELS:
            order = labels.lower.argpartition(_MOST_LABELS)
            self._given_up = min(self._given_up, float(labels.lower[order[_MOST_LABELS:]].min()))
            labels = labels.take(order[:_MOST_LABELS])
        return labels


def undominated(states: Indices, costs: Array, losses: Array, layers: int) -> Indices:
    """The labels that fewer than ``layers`` others of the same state beat in cost and in loss; some more are kept.

    Each layer is a Pareto front; a label left after so many has one in each of them that beats it.
    """
    left = np.arange(len(states))
    kept: list[Indices] = []
    order = losses.argsort(kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))  # integers, so that no two labels tie and segments can be told apart
    left = left[np.lexsort((ranks, costs, states))]
    for _ in range(layers):
        if not len(left):
            break
        segments = (states[left].max() - states[left]) * len(ranks)  # falling: each segment starts below the last
        keys = ranks[left] + segments
        least = np.minimum.accumulate(keys)
        front = np.concatenate([[True], keys[1:] < least[:-1]])
        kept.append(left[front])
        left = left[~front]
    return np.concatenate([*kept, left[:0]])
