"""A model as a latency table, and the model again from the table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import FileError
from edgewidth.latency.basis import Basis, basis_of
from edgewidth.latency.curve import Curve
from edgewidth.latency.evidence import Hyperparameters
from edgewidth.latency.model import Model, Values, restore
from edgewidth.latency.noise import Noise, VisitData
from edgewidth.latency.terms import choice_indices
from edgewidth.records.table import TableEntry

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.table import LatencyTable

_SCALE, _DISCREPANCY, _STRENGTH = "scale_ms", "discrepancy", "strength "
"""What a table calls its hyperparameters; noise has names of its own, and a group's strength that of the group too."""


@lru_cache(maxsize=8)
def cached_basis(space: SearchSpace) -> Basis:
    """The basis of a search space; made once."""
    return basis_of(space)


def table_entries(model: Model, space: SearchSpace) -> tuple[TableEntry, ...]:
    """The entries of a model in the table's layout."""
    names = [variable.name for variable in space.variables]
    return tuple(
        TableEntry(
            layer=term.name,
            scope=tuple(names[v] for v in term.scope),
            values_ms=tuple(tuple(row) for row in values.reshape(term.rows, term.columns).tolist()),
        )
        for term, values in zip(model.basis.terms, model.values.entries, strict=True)
    )


def table_values(table: LatencyTable) -> Values:
    """The numbers of a table, one flat array of entries a term."""
    entries = [np.array(entry.values_ms, dtype=float).ravel() for entry in table.entries]
    return Values(table.offset_ms, entries, Curve.of(table))


def table_hyperparameters(model: Model) -> dict[str, float]:
    """What the fit learned, by name."""
    hyper = model.hyper
    strengths = zip(model.basis.groups, hyper.strengths.tolist(), strict=True)
    return (
        {
            _SCALE: model.scale_ms,
            _DISCREPANCY: hyper.discrepancy,
        }
        | {f"noise_{name}": value for name, value in hyper.noise._asdict().items()}
        | {_STRENGTH + name: strength for name, strength in strengths}
    )


def noise_of(table: LatencyTable) -> Noise:
    """The noise of visits that a table was fitted with.

    Raises:
        FileError: It has not all of it.
    """
    told = {name: value for name in Noise._fields if (value := table.hyperparameters.get(f"noise_{name}")) is not None}
    missing = [name for name in Noise._fields if name not in told and name not in Noise._field_defaults]
    if missing:
        raise _incomplete(f"noise_{missing[0]}")
    return Noise(**told)


def _incomplete(name: str) -> FileError:
    return FileError(
        f"The latency table is damaged: its hyperparameters have no {name}.",
        remedy="Fit it again from its measurements: edgewidth table fit DIR.",
    )


def model_of(table: LatencyTable) -> Model:
    """The model that a table was written from, with its covariance.

    Raises:
        FileError: The table has not all that the fit learned.
    """
    basis = cached_basis(table.space)
    learned = table.hyperparameters
    for name in (_SCALE, _DISCREPANCY):
        if name not in learned:
            raise _incomplete(name)
    strengths = np.array([learned.get(_STRENGTH + name, 0.0) for name in basis.groups])
    return restore(
        basis,
        choice_indices(table.space, [visits.config for visits in table.fitted]),
        VisitData.of(table.fitted),
        Hyperparameters(strengths, learned[_DISCREPANCY], noise_of(table)),
        learned[_SCALE],
        table_values(table),
        np.array(table.surprises),
    )
