"""Factors: functions of a few variables, of which a problem is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.intp]


class Factor(NamedTuple):
    """A function of a few variables: ``values[i, j]`` for choice i of the first of ``scope`` and j of the second.

    A scope of () and a value of shape () is a constant.
    """

    scope: tuple[int, ...]
    values: Array


def total(factors: Iterable[Factor], assignments: Indices) -> Array:
    """The sum of factors for each assignment: (count, variables) → (count,)."""
    result = np.zeros(len(assignments))
    for factor in factors:
        result += factor.values[tuple(assignments[:, variable] for variable in factor.scope)]
    return result
