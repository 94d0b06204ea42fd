"""A model as a latency table, and the model again from the table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.latency.basis import Basis, basis_of
from edgewidth.latency.curve import Curve
from edgewidth.latency.evidence import Hyperparameters
from edgewidth.latency.model import Model, PriorMean, restore
from edgewidth.latency.noise import Noise, VisitData
from edgewidth.latency.terms import choice_indices
from edgewidth.records.table import TableEntry

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.latency.terms import Floats
    from edgewidth.records.table import LatencyTable

_STRENGTH = "strength "


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
        for term, values in zip(model.basis.terms, model.entries, strict=True)
    )


def entry_values(table: LatencyTable) -> list[Floats]:
    """The entries of a table, one flat array a term."""
    return [np.array(entry.values_ms, dtype=float).ravel() for entry in table.entries]


def table_hyperparameters(model: Model) -> dict[str, float]:
    """What the fit learned, by name."""
    hyper = model.hyper
    strengths = zip(model.basis.groups, hyper.strengths.tolist(), strict=True)
    return (
        {
            "scale_ms": model.scale_ms,
            "discrepancy": hyper.discrepancy,
        }
        | {f"noise_{name}": value for name, value in hyper.noise._asdict().items()}
        | {_STRENGTH + name: strength for name, strength in strengths}
    )


def noise_of(table: LatencyTable) -> Noise:
    """The noise of visits that a table was fitted with."""
    learned = table.hyperparameters
    return Noise(**{name: learned[f"noise_{name}"] for name in Noise._fields if f"noise_{name}" in learned})


def model_of(table: LatencyTable) -> Model:
    """The model that a table was written from, with its covariance."""
    basis = cached_basis(table.space)
    learned = table.hyperparameters
    strengths = np.array([learned.get(_STRENGTH + name, 0.0) for name in basis.groups])
    return restore(
        basis,
        choice_indices(table.space, [visits.config for visits in table.fitted]),
        VisitData.of(table.fitted),
        Hyperparameters(strengths, learned["discrepancy"], noise_of(table)),
        learned["scale_ms"],
        PriorMean(table.offset_ms, entry_values(table)),
        Curve.of(table),
    )
