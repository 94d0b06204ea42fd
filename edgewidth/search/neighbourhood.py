"""Parts of a problem that can be searched exactly: some variables free and the others fixed, or fewer choices each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.factors import Factor
from edgewidth.search.problem import Problem, added

if TYPE_CHECKING:
    from edgewidth.search.factors import Indices


def random_forest(problem: Problem, rng: np.random.Generator) -> Indices:
    """Variables in random order, as many as leave the graph without a cycle while all others are fixed; ascending.

    No two neighbours of a variable that is added may be connected already.
    """
    neighbours = _neighbours(problem)
    component = np.full(len(problem.sizes), -1)
    for variable in rng.permutation(len(problem.sizes)).tolist():
        near = component[neighbours[variable]]
        near = near[near >= 0]
        if len(np.unique(near)) == len(near):
            component[np.isin(component, near)] = variable
            component[variable] = variable
    return np.flatnonzero(component >= 0)


def conditioned(problem: Problem, free: Indices, assignment: Indices) -> Problem:
    """The problem over the free variables, in their order, where all others are as in ``assignment``."""
    place = {variable: i for i, variable in enumerate(free.tolist())}

    def restrict(factor: Factor) -> Factor:
        index = tuple(slice(None) if variable in place else assignment[variable] for variable in factor.scope)
        return Factor(tuple(place[v] for v in factor.scope if v in place), factor.values[index])

    return _mapped(problem, tuple(problem.sizes[variable] for variable in free), restrict)


def restricted(problem: Problem, choices: Sequence[Indices]) -> Problem:
    """The problem with only some of the choices of every variable."""

    def restrict(factor: Factor) -> Factor:
        return factor._replace(values=factor.values[np.ix_(*(choices[variable] for variable in factor.scope))])

    return _mapped(problem, tuple(len(kept) for kept in choices), restrict)


def compact(problem: Problem) -> Problem:
    """The same problem with the factors of equal scope added up, but for those of the peak budgets."""
    return replace(
        problem,
        losses=_added(problem.losses),
        latencies=_added(problem.latencies),
        sums=tuple(budget._replace(factors=_added(budget.factors)) for budget in problem.sums),
    )


def _added(factors: Iterable[Factor]) -> tuple[Factor, ...]:
    return tuple(Factor(scope, values) for scope, values in added(factors).items())


def _mapped(problem: Problem, sizes: tuple[int, ...], restrict: Callable[[Factor], Factor]) -> Problem:
    def each(factors: Sequence[Factor]) -> tuple[Factor, ...]:
        return _added(map(restrict, factors))

    return Problem(
        sizes,
        each(problem.losses),
        each(problem.latencies),
        tuple(budget._replace(factors=each(budget.factors)) for budget in problem.sums),
        tuple(peak._replace(factors=tuple(map(restrict, peak.factors))) for peak in problem.peaks),
    )


def _neighbours(problem: Problem) -> list[Indices]:
    meets = np.zeros((len(problem.sizes), len(problem.sizes)), dtype=bool)
    for scope in set(problem.scopes):
        meets[np.ix_(scope, scope)] = True
    np.fill_diagonal(meets, val=False)
    return [np.flatnonzero(row) for row in meets]
