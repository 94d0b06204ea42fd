"""The estimator: from visits to hyperparameters and a posterior over the table.

It fits in turn, for a fixed number of rounds: where the logarithm is linearised (the latest prediction), the
hyperparameters (marginal likelihood), and how far each visit is an outlier (Student's t as a scale mixture,
by expectation maximisation; Lange, Little and Taylor 1989).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.latency.calibration import Calibration
from edgewidth.latency.curve import Curve
from edgewidth.latency.evidence import Hyperparameters, Observations, initial, learn
from edgewidth.latency.noise import DEGREES, VisitData, drift_at_visits
from edgewidth.latency.posterior import Posterior, non_negative_weights

if TYPE_CHECKING:
    from edgewidth.latency.basis import Basis
    from edgewidth.latency.noise import Noise
    from edgewidth.latency.terms import Floats, Ints

_ROUNDS = 3


class Values(NamedTuple):
    """The numbers of a table: what is added up, and what its curve makes of the sum."""

    offset_ms: float
    entries: list[Floats]
    """(entries,) milliseconds of every term; none is negative."""
    curve: Curve

    @classmethod
    def nothing(cls, basis: Basis) -> Values:
        """Of a prior that knows nothing: all are zero, and latencies are sums."""
        return cls(0.0, [np.zeros(term.size) for term in basis.terms], Curve(np.zeros(1), np.zeros(1)))

    def scaled(self, factor: float) -> Values:
        """Those of a device on which everything takes ``factor`` times as long."""
        return Values(factor * self.offset_ms, [factor * one for one in self.entries], self.curve.scaled(factor))

    def sums(self, basis: Basis, indices: Ints) -> Floats:
        """The sum of the entries: (configurations, variables) → (configurations,)."""
        total = np.full(len(indices), self.offset_ms)
        for term, values in zip(basis.terms, self.entries, strict=True):
            total += values[term.entries(indices)]
        return total


@dataclass(frozen=True)
class Model:
    """A fitted table with all that its intervals need."""

    basis: Basis
    hyper: Hyperparameters
    scale_ms: float
    """Milliseconds per unit of nominal work."""
    visit_weights: Floats
    posterior: Posterior
    calibration: Calibration
    values: Values

    def predict(self, indices: Ints) -> Floats:
        """The latency of configurations in milliseconds: (configurations, variables) → (configurations,)."""
        return self.values.curve.latency_ms(self.sums(indices))

    def sums(self, indices: Ints) -> Floats:
        """The sums of configurations' entries: (configurations, variables) → (configurations,)."""
        return self.values.sums(self.basis, indices)

    def relative(self, indices: Ints) -> Floats:
        """The configurations as ``posterior`` knows them: (configurations, variables) → (configurations, columns)."""
        return self.basis.relative(indices, self.sums(indices) / self.scale_ms)

    def relative_deviation(self, indices: Ints) -> Floats:
        """The standard deviation of predictions relative to these: (configurations,).

        What no table can know is in it, and the errors that leave-one-out prediction has at this size.
        """
        variance = self.posterior.variance(self.relative(indices)) + self.hyper.discrepancy**2
        return np.sqrt(variance) * self.calibration.factor(self.sums(indices))


def estimate(basis: Basis, indices: Ints, data: VisitData, nominal: Floats, prior: Values) -> Model:
    """Fit the table.

    Args:
        basis: What it may depend on.
        indices: (n, variables) the measured configurations.
        data: Their visits.
        nominal: (n,) the rough cost of these configurations.
        prior: Another table's, already scaled to this device, or ``Values.nothing``.
    """
    medians = np.exp(data.medians)
    scale_ms = float(np.median(medians / nominal))
    about = np.array([prior.curve.sum_ms(median) for median in medians.tolist()])
    hyper = initial(basis, data)
    weights = first_weights(data, hyper.noise)
    rows = basis.relative(indices, about / scale_ms)
    # First by the prior's curve alone: linearised about the measurements themselves, a steep one would seem to cost
    # nothing.
    rows[:, basis.curve] = 0.0
    departure = prior.curve.departure(np.log(about))
    observations = Observations(data, weights, rows, about, prior.sums(basis, indices), departure)
    for _ in range(_ROUNDS):
        hyper = learn(basis, observations, hyper)
        fitted = Posterior.of(basis, observations, hyper).weights()
        about = _fitted_sums(basis, observations, fitted)
        rows = basis.relative(indices, about / scale_ms)
        departure = prior.curve.departure(np.log(about))
        latency = np.log(about) + departure + rows[:, basis.curve] @ fitted[basis.curve]
        weights = _outlier_weights(observations, hyper, latency)
        observations = replace(observations, weights=weights, rows=rows, about_ms=about, prior_departure=departure)
    posterior = Posterior.of(basis, observations, hyper)
    calibration = Calibration.of(posterior, observations.about_ms)
    values = _values(basis, posterior, scale_ms, prior)
    return Model(basis, hyper, scale_ms, observations.weights, posterior, calibration, values)


def restore(
    basis: Basis,
    indices: Ints,
    data: VisitData,
    hyper: Hyperparameters,
    scale_ms: float,
    values: Values,
    squares: Floats,
) -> Model:
    """The model that a stored table came from: its values as they are, its covariance computed again.

    ``squares`` are its calibration's. Where an older table has none they are computed again, as without a prior.
    """
    about, nothing = values.sums(basis, indices), np.zeros(len(indices))
    rows = basis.relative(indices, about / scale_ms)
    observations = Observations(data, first_weights(data, hyper.noise), rows, about, nothing, nothing)
    latency = np.log(values.curve.latency_ms(about))
    for _ in range(_ROUNDS):
        observations = replace(observations, weights=_outlier_weights(observations, hyper, latency))
    posterior = Posterior.of(basis, observations, hyper)
    calibration = Calibration(np.log(about), squares) if len(squares) else Calibration.of(posterior, about)
    return Model(basis, hyper, scale_ms, observations.weights, posterior, calibration, values)


def first_weights(data: VisitData, noise: Noise) -> Floats:
    """Weights from how far visits are from their configuration's median."""
    surprise = (data.log_ms - data.medians[data.config]) / noise.of_visit(data.medians)[data.config]
    return (DEGREES + 1) / (DEGREES + 1 + np.maximum(surprise**2 - 1, 0))


def _outlier_weights(observations: Observations, hyper: Hyperparameters, fitted: Floats) -> Floats:
    """How much each visit counts: its expected precision under Student's t. ``fitted``: (n,) log latencies."""
    data, noise = observations.data, hyper.noise
    condensed = observations.condense(noise)
    left = condensed.log_ms - fitted
    # What the table leaves of a configuration is its own discrepancy or noise, in the proportion of variances. A
    # table that does not fit yet errs by more: else all visits to a configuration would pass for outliers.
    discrepancy = max(hyper.discrepancy, 1.4826 * float(np.median(np.abs(left)))) ** 2
    latency = fitted + discrepancy / (discrepancy + np.diag(condensed.covariance)) * left
    drift, spread = drift_at_visits(data, observations.weights, noise, latency)
    errors = noise.of_visit(data.medians)[data.config]
    surprise = ((data.log_ms - latency[data.config] - drift) ** 2 + spread) / errors**2
    return (DEGREES + 1) / (DEGREES + surprise)


def _fitted_sums(basis: Basis, observations: Observations, weights: Floats) -> Floats:
    """The sums of the measured configurations in milliseconds, kept positive."""
    first = basis.curve.start
    relative = observations.rows[:, :first] @ weights[:first] + observations.prior_ms / observations.about_ms
    return observations.about_ms * np.clip(relative, 0.3, 3.0)


def _values(basis: Basis, posterior: Posterior, scale_ms: float, prior: Values) -> Values:
    """Offset and entries in milliseconds, the most probable that are not negative, and the curve."""
    first = np.zeros((1, basis.columns))
    first[0, 0] = basis.offset
    functionals = np.concatenate([first, *(_entry_rows(basis, i) for i in range(len(basis.terms)))]) * scale_ms
    prior_ms = np.concatenate([[prior.offset_ms], *prior.entries])
    weights = non_negative_weights(posterior, functionals, -prior_ms)
    values = np.maximum(functionals @ weights + prior_ms, 0.0)
    ends = np.cumsum([1] + [term.size for term in basis.terms])
    log_sums = basis.departure.log_sums + np.log(scale_ms)
    departure = prior.curve.departure(log_sums) + basis.departure.columns @ weights[basis.curve]
    curve = Curve(log_sums, np.maximum.accumulate(log_sums + departure))
    return Values(float(values[0]), [values[a:b] for a, b in pairwise(ends.tolist())], curve)


def _entry_rows(basis: Basis, position: int) -> Floats:
    """The entries of one term as functionals of the weights: (entries, columns)."""
    rows = np.zeros((basis.terms[position].size, basis.columns))
    for block in basis.blocks[position]:
        rows[:, block.columns] = block.values
    return rows
