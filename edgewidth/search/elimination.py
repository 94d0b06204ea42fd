"""Variable elimination with one running table: in which order, over which scopes, and the least sum.

A path decomposition of the graph: every step adds the factors of one variable that are not yet in the table,
and eliminates the variable. For a chain the table has one variable and this is the Viterbi algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.search.factors import Array, Factor, Indices

_Scalar = TypeVar("_Scalar", bound=np.generic)

MOST_WORK = 2**17
"""States of all steps together up to which elimination is a matter of a second, also over a grid of latencies."""
_STARTS = 4
"""How many first variables the greedy order is tried with."""


class Step(NamedTuple):
    """Eliminates ``variable``: the table over ``before`` becomes one over ``after``."""

    variable: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def joint(self) -> tuple[int, ...]:
        """What is alive during the step; the eliminated variable is the last."""
        return (*self.after, self.variable)


class Plan:
    """The steps that eliminate all variables of a graph of factors.

    ``sizes`` are the numbers of choices of the variables; each of ``scopes`` has those that meet in a factor.
    """

    def __init__(self, sizes: Sequence[int], scopes: Iterable[Sequence[int]]) -> None:
        self.sizes = tuple(sizes)
        factors = {sum(1 << variable for variable in scope) for scope in scopes}
        self.steps = _steps(_best_order(self.sizes, factors), factors)
        self._rank = {step.variable: rank for rank, step in enumerate(self.steps)}

    @property
    def is_small(self) -> bool:
        """Whether the tree-width is small enough for tables over every step's variables."""
        return sum(self.states(step.joint) for step in self.steps) <= MOST_WORK

    def shape(self, scope: Iterable[int]) -> tuple[int, ...]:
        """The numbers of choices of some variables."""
        return tuple(self.sizes[variable] for variable in scope)

    def states(self, scope: Iterable[int]) -> int:
        """How many assignments some variables have."""
        return math.prod(self.shape(scope))

    def buckets(self, factors: Iterable[Factor]) -> list[Array]:
        """Every factor in the step that takes it in: one array over ``joint`` per step; they add up to the sum."""
        buckets = [np.zeros(self.shape(step.joint)) for step in self.steps]
        for factor in factors:
            rank = min((self._rank[variable] for variable in factor.scope), default=0)
            buckets[rank] += self.align(factor.values, factor.scope, self.steps[rank].joint)
        return buckets

    def total(self, buckets: Sequence[Array], assignment: Indices) -> float:
        """The sum of one array over ``joint`` per step at an assignment: (variables,)."""
        return sum(float(b[tuple(assignment[list(s.joint)])]) for s, b in zip(self.steps, buckets, strict=True))

    @staticmethod
    def align(values: NDArray[_Scalar], scope: Sequence[int], joint: Sequence[int]) -> NDArray[_Scalar]:
        """``values`` over ``scope`` as a view that broadcasts over ``joint``, which contains ``scope``."""
        places = [joint.index(variable) for variable in scope]
        shape = [1] * len(joint)
        for place, size in zip(places, values.shape, strict=True):
            shape[place] = size
        return values.transpose(np.argsort(places)).reshape(shape)


def minima(plan: Plan, buckets: Sequence[Array]) -> list[Array]:
    """Before each step, the least sum of all that was eliminated, for every state of the table; the last one is ()."""
    messages = [np.zeros(())]
    for step, bucket in zip(plan.steps, buckets, strict=True):
        messages.append((bucket + plan.align(messages[-1], step.before, step.joint)).min(axis=-1))
    return messages


def minimise(plan: Plan, buckets: Sequence[Array]) -> tuple[float, Indices]:
    """The least sum over all assignments, and an assignment that has it: (variables,)."""
    messages = minima(plan, buckets)
    assignment = np.zeros(len(plan.sizes), dtype=np.intp)
    for step, bucket, message in reversed(list(zip(plan.steps, buckets, messages, strict=False))):
        joint = bucket + plan.align(message, step.before, step.joint)
        assignment[step.variable] = joint[tuple(assignment[list(step.after)])].argmin()
    return float(messages[-1]), assignment


def value_range(plan: Plan, buckets: Sequence[Array]) -> float:
    """The greatest sum less the least one, or 1 where all are equal."""
    return -minimise(plan, [-bucket for bucket in buckets])[0] - minimise(plan, buckets)[0] or 1.0


def _steps(order: Sequence[int], factors: set[int]) -> tuple[Step, ...]:
    steps, table, left = [], 0, set(factors)
    for variable in order:
        taken = {factor for factor in left if factor >> variable & 1}
        left -= taken
        joint = _union(taken) | table | 1 << variable
        after = joint & ~(1 << variable)
        steps.append(Step(variable, _variables(table), _variables(after)))
        table = after
    return tuple(steps)


def _best_order(sizes: tuple[int, ...], factors: set[int]) -> list[int]:
    """The cheapest of the greedy orders from the most promising first variables."""
    of_variable = [[factor for factor in factors if factor >> v & 1] for v in range(len(sizes))]
    starts = sorted(range(len(sizes)), key=lambda v: (_count(_union(of_variable[v]) | 1 << v, sizes), v))
    return min((_greedy_order(start, sizes, of_variable) for start in starts[:_STARTS]), key=lambda found: found[0])[1]


def _greedy_order(start: int, sizes: tuple[int, ...], of_variable: list[list[int]]) -> tuple[int, list[int]]:
    """Eliminate next what makes the smallest joint table; returns the sum of these sizes and the order."""
    order, table, done, cost = list[int](), 0, 0, 0
    everything = (1 << len(sizes)) - 1

    def neighbours(variable: int) -> int:
        return _union(factor for factor in of_variable[variable] if not factor & done) | 1 << variable

    while done != everything:
        near = _union(neighbours(v) for v in _variables(table)) or everything & ~done
        candidates = _variables(near) if order else (start,)
        count, variable = min((_count(neighbours(v) | table, sizes), v) for v in candidates)
        table = (table | neighbours(variable)) & ~(1 << variable)
        done |= 1 << variable
        cost += count
        order.append(variable)
    return cost, order


def _union(masks: Iterable[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result


def _variables(mask: int) -> tuple[int, ...]:
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


def _count(mask: int, sizes: tuple[int, ...]) -> int:
    return math.prod(sizes[i] for i in _variables(mask))
