"""A lower bound of a sum of factors on any graph, however dense, and an assignment near its minimum.

Values are moved between factors that share a variable, which leaves the sum as it is for every assignment; the sum
of the least values of the factors is a lower bound, and the moves raise it until it is, nearly, the optimum of the
linear-programming relaxation. The order of the moves is that of TRW-S (Kolmogorov 2006, Convergent Tree-Reweighted
Message Passing for Energy Minimization), for factors over any number of variables as in SRMP (Kolmogorov 2015, A New
Look at Reweighted Message Passing). The cost of a sweep grows with the values of the factors, not with the tree-width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.search.problem import added

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Factor, Indices


class Minimum(NamedTuple):
    """What is known of the least sum over all assignments."""

    lower_bound: float
    assignment: Indices
    """One that is near the least sum: (variables,)."""


class _Link(NamedTuple):
    """A table as seen from one of its variables, in a sweep in one direction."""

    table: int
    others: tuple[int, ...]
    """The axes of all other variables."""
    shape: tuple[int, ...]
    """As which values over the variable broadcast over the table."""
    fixed: tuple[int | None, ...]
    """By axis the variable that the sweep has passed; None for those that it has not."""
    open: tuple[int, ...]
    """Of the axes that it has not passed, those of other variables."""


class _Stop(NamedTuple):
    """A variable that a sweep comes by, with the tables that it takes from and those that it gives to."""

    variable: int
    taken: tuple[_Link, ...]
    given: tuple[_Link, ...]


class Reparametrisation:
    """A weighted sum of groups of factors: a bound that gets better with every sweep, also when weights change.

    Args:
        sizes: The number of choices of every variable.
        groups: Lists of factors with finite values; each list has a weight.
    """

    def __init__(self, sizes: Sequence[int], groups: Sequence[Sequence[Factor]]) -> None:
        self._sizes = tuple(sizes)
        self._weights = np.zeros(len(groups))
        merged = _stacked(self._sizes, groups)
        self._constants = merged.pop(())
        self._constant = 0.0
        self._of_variable = [merged.pop((v,)) for v in range(len(self._sizes))]
        self._unary = [np.zeros(size) for size in self._sizes]
        self._scopes, self._of_table = tuple(merged), tuple(merged.values())
        self._tables = [np.zeros(values.shape[1:]) for values in self._of_table]
        self._stops = self._directed(range(len(self._sizes))), self._directed(range(len(self._sizes))[::-1])

    def weigh(self, weights: Array) -> None:
        """Change the weights of the groups; what the sweeps have moved stays a good start."""
        change = weights - self._weights
        self._weights = weights
        self._constant += float(change @ self._constants)
        for targets, groups in ((self._unary, self._of_variable), (self._tables, self._of_table)):
            for i, values in enumerate(groups):
                targets[i] += np.tensordot(change, values, 1)

    def sweep(self) -> Minimum:
        """Once forwards and once backwards over the variables."""
        assignment = np.zeros(len(self._sizes), dtype=np.intp)
        for stops in self._stops:
            for stop in stops:
                self._visit(stop, assignment)
        return Minimum(self._constant, assignment)

    def least_with(self) -> list[Array]:
        """For every choice of every variable, a bound that no assignment with this choice goes below: (choices,)."""
        least = np.array([table.min() for table in self._tables])
        bound = self._constant + sum(float(unary.min()) for unary in self._unary) + float(least.sum())
        bounds = []
        for stop, unary in zip(self._directed(range(len(self._sizes)), all_taken=True), self._unary, strict=True):
            tables = [link.table for link in stop.taken]
            around = unary - unary.min() - least[tables].sum()
            for link in stop.taken:
                around = around + self._tables[link.table].min(axis=link.others)
            bounds.append(bound + around)
        return bounds

    def _visit(self, stop: _Stop, assignment: Indices) -> None:
        """Take from the tables behind, choose, and give an even share to each table ahead."""
        unary = self._unary[stop.variable]
        conditional = unary.copy()  # on what the sweep has chosen so far
        for link in stop.taken:
            table = self._tables[link.table]
            part = table[tuple(slice(None) if u is None else assignment[u] for u in link.fixed)]
            conditional += part.min(axis=link.open) if link.open else part
            least = table.min(axis=link.others)
            table -= least.reshape(link.shape)
            unary += least
        assignment[stop.variable] = conditional.argmin()
        least_of_all = unary.min()
        self._constant += float(least_of_all)
        unary -= least_of_all
        if stop.given:
            share = unary / max(len(stop.taken), len(stop.given))
            unary -= share * len(stop.given)
            for link in stop.given:
                self._tables[link.table] += share.reshape(link.shape)

    def _directed(self, order: Sequence[int], *, all_taken: bool = False) -> list[_Stop]:
        """The stops of a sweep in this order.

        Of a table's variables, all but the first take from it, and all but the last give to it.
        """
        place = {variable: i for i, variable in enumerate(order)}
        links: list[tuple[list[_Link], list[_Link]]] = [([], []) for _ in order]
        for table, scope in enumerate(self._scopes):
            places = [place[variable] for variable in scope]
            for axis, variable in enumerate(scope):
                link = self._link(table, axis, passed=[p < places[axis] for p in places])
                if all_taken or places[axis] > min(places):
                    links[variable][0].append(link)
                if places[axis] < max(places):
                    links[variable][1].append(link)
        return [_Stop(variable, tuple(links[variable][0]), tuple(links[variable][1])) for variable in order]

    def _link(self, table: int, axis: int, *, passed: Sequence[bool]) -> _Link:
        scope = self._scopes[table]
        left = [variable for variable, behind in zip(scope, passed, strict=True) if not behind]
        return _Link(
            table,
            others=tuple(other for other in range(len(scope)) if other != axis),
            shape=tuple(-1 if other == axis else 1 for other in range(len(scope))),
            fixed=tuple(variable if behind else None for variable, behind in zip(scope, passed, strict=True)),
            open=tuple(i for i, variable in enumerate(left) if variable != scope[axis]),
        )


def _stacked(sizes: tuple[int, ...], groups: Sequence[Sequence[Factor]]) -> dict[tuple[int, ...], Array]:
    """What every group has over a scope, by ascending scope: (groups, choices of the scope's variables)."""
    sums = [added(group) for group in groups]
    scopes = sorted({(), *((v,) for v in range(len(sizes)))}.union(*sums))
    zeros = {scope: np.zeros([sizes[v] for v in scope]) for scope in scopes}
    return {scope: np.stack([group.get(scope, zeros[scope]) for group in sums]) for scope in scopes}
