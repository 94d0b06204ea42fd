"""Fits a latency table to measured visits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.errors import InputError, MismatchError
from edgewidth.latency.basis import nominal_work
from edgewidth.latency.model import Values, estimate
from edgewidth.latency.noise import VisitData
from edgewidth.latency.quality import Measured, hold_out, measured, quality_of
from edgewidth.latency.stored import cached_basis, table_entries, table_hyperparameters, table_values
from edgewidth.latency.terms import choice_indices
from edgewidth.records.table import LatencyTable

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace
    from edgewidth.latency.terms import Floats, Ints
    from edgewidth.records.measurement import Setting, Statistic
    from edgewidth.records.table import ConfigVisits

LEAST_CONFIGS = 3


def fit_table(
    space: SearchSpace,
    setting: Setting,
    statistic: Statistic,
    fitted: Sequence[ConfigVisits],
    held_out: Sequence[ConfigVisits],
    *,
    prior: LatencyTable | None = None,
) -> LatencyTable:
    """Fit a table and hold it against configurations that it has not seen.

    Args:
        space: The search space.
        setting: Where the visits were measured.
        statistic: What their values are.
        fitted: At least three configurations to fit.
        held_out: Configurations to judge it by; none of them may be among the fitted.
        prior: The table of a similar device, or of another precision, of the same space: scaled to these
            measurements it stands in for what they do not say.

    Raises:
        InputError: Too few configurations, one twice or both fitted and held out, a latency that is not a
            positive number, or a configuration that is not of the space.
        MismatchError: The prior is of another space.
    """
    _check(fitted, held_out)
    if prior and prior.space != space:
        raise MismatchError(
            "The prior table is of another search space.",
            remedy="Use a table with the same network, resolution and widths, or none.",
        )
    basis = cached_basis(space)
    indices = choice_indices(space, [visits.config for visits in fitted])
    data = VisitData.of(fitted)
    mean = _scaled(prior, indices, data) if prior else Values.nothing(basis)
    model = estimate(basis, indices, data, nominal_work(basis.terms, indices), mean)
    found = measured(held_out, model.hyper.noise, fitted) if held_out else Measured(np.zeros(0), np.zeros(0))
    judged = hold_out(model, space, held_out, found) if held_out else ()
    return LatencyTable(
        space=space,
        setting=setting,
        statistic=statistic,
        entries=table_entries(model, space),
        offset_ms=model.values.offset_ms,
        curve=model.values.curve.points(),
        fitted=tuple(fitted),
        held_out=judged,
        quality=quality_of(judged, found.errors, len(fitted), of=space.size),
        hyperparameters=table_hyperparameters(model),
        surprises=tuple(model.calibration.squares.tolist()),
    )


def _check(fitted: Sequence[ConfigVisits], held_out: Sequence[ConfigVisits]) -> None:
    if len(fitted) < LEAST_CONFIGS:
        raise InputError(
            f"A latency table needs at least {LEAST_CONFIGS} measured configurations; there are {len(fitted)}.",
            remedy="Measure more; a few dozen give a good table.",
        )
    configs = [visits.config for visits in (*fitted, *held_out)]
    twice = next((config for config in configs if configs.count(config) > 1), None)
    if twice is not None:
        raise InputError(f"The configuration {twice} is there twice: put all its visits together.")
    for visits in (*fitted, *held_out):
        if not all(np.isfinite(value) and value > 0 for value in visits.values_ms):
            raise InputError(f"A latency of {visits.config} is not a positive number.")
        if len(visits.started_s) != len(visits.values_ms):
            raise InputError(f"{visits.config} has {len(visits.values_ms)} visits and {len(visits.started_s)} times.")


def _scaled(prior: LatencyTable, indices: Ints, data: VisitData) -> Values:
    """Another table times the one factor that fits these measurements best."""
    values = table_values(prior)
    sums = values.sums(cached_basis(prior.space), indices)
    ratios: Floats = data.medians - np.log(values.curve.latency_ms(sums))
    return values.scaled(float(np.exp(np.median(ratios))))
