"""Probabilities where the tree-width is too large for elimination: the nearest product of independent ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.search.problem import added
from edgewidth.search.sum_product import draw

if TYPE_CHECKING:
    from edgewidth.search.factors import Array, Factor, Indices

_SWEEPS = 50
_CLOSE = 1e-4
"""Sweeps that change no probability by more than this are enough."""


class MeanField:
    """A product of independent distributions near p(assignment) ∝ exp(−energy).

    Each variable in turn takes the distribution that the others' expected energies make (Wainwright and Jordan 2008,
    Graphical Models, Exponential Families, and Variational Inference, section 5).

    Args:
        sizes: The number of choices of every variable.
        energies: Their sum is the energy; finite.
    """

    def __init__(self, sizes: Sequence[int], energies: Iterable[Factor]) -> None:
        tables = added(energies)
        around = [[(scope, table) for scope, table in tables.items() if v in scope] for v in range(len(sizes))]
        self.marginals = tuple(np.full(size, 1 / size) for size in sizes)
        """The probability of every choice of every variable: one array of (choices,) per variable."""
        for _ in range(_SWEEPS):
            change = 0.0
            for variable, marginal in enumerate(self.marginals):
                energy = sum((self._expected(s, t, variable) for s, t in around[variable]), np.zeros(len(marginal)))
                likely = np.exp(energy.min() - energy)
                likely /= likely.sum()
                change = max(change, float(np.abs(likely - marginal).max()))
                marginal[:] = likely
            if change <= _CLOSE:
                break

    def mean(self, factors: Iterable[Factor]) -> float:
        """The expected sum of factors."""
        return sum(float(self._expected(scope, table)) for scope, table in added(factors).items())

    def sample(self, count: int, rng: np.random.Generator) -> Indices:
        """Independent draws: (count, variables)."""
        return np.stack([draw(np.broadcast_to(m, (count, len(m))), rng) for m in self.marginals], axis=1)

    def _expected(self, scope: tuple[int, ...], table: Array, but: int | None = None) -> Array:
        """The mean of a table over all its variables but one."""
        for axis in reversed(range(len(scope))):
            if scope[axis] != but:
                table = np.tensordot(table, self.marginals[scope[axis]], (axis, 0))
        return table
