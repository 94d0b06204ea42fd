"""The noise of visits: independent errors, and drift of the device in stretches of time.

With log latency, visit ``v`` to configuration ``c`` reads ``y_v = m_c + s_c d(t_v) + u_c e_v``: ``s`` and ``u`` grow
with the size of the configuration, ``e`` is independent with variance ``visit² / weight_v``, ``d`` an
Ornstein-Uhlenbeck process of standard deviation ``drift`` and time constant ``drift_s``, conditioned on a mean of zero
over the fitted visits: a latency is that in the device's average state while these were made, else a common factor
of all latencies could not be told from drift.

All visits to a configuration amount to one estimate of ``m_c``; ``condense`` gives these with their joint
covariance, and the evidence of what the configurations do not explain. The process is Markov, so its precision
at the sorted times is tridiagonal (Rue and Held 2005, section 2.4) and the cost is linear in the visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

if TYPE_CHECKING:
    from edgewidth.latency.terms import Floats, Ints
    from edgewidth.records.table import ConfigVisits

DEGREES = 4.0
"""Degrees of freedom of a visit's error: about one in a hundred is beyond 4.6 standard deviations."""

_LEAST_GAP = 1e-3
"""The least time between visits, in units of the drift's time constant, so that the precision stays finite."""


class Noise(NamedTuple):
    """Relative standard deviations of one visit and of the drift, and the drift's time constant."""

    visit: float
    drift: float
    drift_s: float
    visit_ms: float = np.inf
    """The latency from which on a visit's error grows with its square: what outgrows the caches shares the memory with
    its neighbours."""
    drift_ms: float = np.inf
    """The latency from which on drift grows with its square."""

    def as_vector(self) -> Floats:
        """Logarithms of the visit's error, of the drift in such units, and of the others: (5,)."""
        return np.log([self.visit, self.drift / self.visit, self.drift_s, self.visit_ms, self.drift_ms])

    @classmethod
    def from_vector(cls, vector: Floats) -> Noise:
        """The inverse of ``as_vector``."""
        visit, ratio, *others = np.exp(vector).tolist()
        return cls(visit, visit * ratio, *others)

    def of_visit(self, log_ms: Floats) -> Floats:
        """Standard deviations of a visit's error for configurations of these log latencies: the same shape."""
        errors: Floats = self.visit * np.hypot(1.0, (np.exp(log_ms) / self.visit_ms) ** 2)
        return errors

    def of_drift(self, log_ms: Floats) -> Floats:
        """Standard deviations of what drift makes of configurations of these log latencies: the same shape."""
        drifts: Floats = self.drift * np.hypot(1.0, (np.exp(log_ms) / self.drift_ms) ** 2)
        return drifts


@dataclass(frozen=True)
class VisitData:
    """All visits in the order of time. Arrays are (visits,) unless stated."""

    config: Ints
    """Which configuration."""
    log_ms: Floats
    started_s: Floats
    shares: Floats
    """The weights of the visits in the mean drift that is held at zero."""
    configs: int
    """How many configurations."""

    @classmethod
    def of(cls, fitted: Sequence[ConfigVisits], held_out: Sequence[ConfigVisits] = ()) -> VisitData:
        """The visits of several configurations, each with at least one visit of positive latency.

        The average state is that of the visits to ``fitted``; ``held_out`` follow them in the order of
        configurations.
        """
        visits = [*fitted, *held_out]
        config = np.repeat(np.arange(len(visits)), [len(v.values_ms) for v in visits])
        log_ms = np.log(np.concatenate([v.values_ms for v in visits]))
        started_s = np.concatenate([v.started_s for v in visits])
        shares = (config < len(fitted)) / np.sum(config < len(fitted))
        order = np.argsort(started_s, kind="stable")
        return cls(config[order], log_ms[order], started_s[order], shares[order], len(visits))

    @property
    def repeated(self) -> bool:
        """Whether noise can be told from the table's own errors: enough second visits."""
        return len(self.config) - self.configs >= 10

    @cached_property
    def medians(self) -> Floats:
        """The median log latency of every configuration: (configurations,)."""
        return np.array([np.median(self.log_ms[self.config == c]) for c in range(self.configs)])

    def sums(self, values: Floats) -> Floats:
        """Totals over the visits to every configuration: (visits, m) → (configurations, m)."""
        order = np.argsort(self.config, kind="stable")
        totals: Floats = np.add.reduceat(values[order], np.searchsorted(self.config[order], np.arange(self.configs)))
        return totals

    def scatter(self) -> float:
        """A robust standard deviation of visits to the same configuration; 0 without second visits."""
        if not self.repeated:
            return 0.0
        order = np.argsort(self.config, kind="stable")
        same = np.diff(self.config[order]) == 0
        return float(1.4826 * np.median(np.abs(np.diff(self.log_ms[order])[same])) / np.sqrt(2))


class Condensed(NamedTuple):
    """What the visits say of the configurations."""

    log_ms: Floats
    """(configurations,) estimates."""
    covariance: Floats
    """(configurations, configurations) of their errors."""
    log_evidence: float
    """Log density of the visits' part that no configuration latencies could explain."""


def condense(data: VisitData, weights: Floats, noise: Noise) -> Condensed:
    """Generalised least squares of the configurations' latencies under the noise. ``weights``: (visits,)."""
    solver = _Drift(data, weights, noise)
    design = np.zeros((len(data.config), data.configs))
    design[np.arange(len(data.config)), data.config] = 1.0
    # About a middle value, so that no digits are lost to what all latencies have in common.
    middle = float(np.median(data.log_ms))
    whitened = solver.precision_times(np.column_stack([design, data.log_ms - middle]))
    by_config = data.sums(whitened)
    information, score = by_config[:, :-1], by_config[:, -1]
    root = np.linalg.cholesky(0.5 * (information + information.T))
    inverse_root = np.linalg.inv(root)
    covariance = inverse_root.T @ inverse_root
    estimate = covariance @ score + middle
    left = data.log_ms - estimate[data.config]
    quadratic = float(left @ solver.precision_times(left[:, None])[:, 0])
    log_det = solver.log_det + 2 * float(np.sum(np.log(np.diag(root))))
    spare = len(data.config) - data.configs
    return Condensed(estimate, covariance, -0.5 * (quadratic + log_det + spare * np.log(2 * np.pi)))


def robust(condensed: Condensed) -> Condensed:
    """The same with the covariance that a mean weighted for Student's t has: the inverse Fisher information.

    The weights fit the very values that they weight; taken as given they would claim ``(ν + 3) / (ν + 1)`` too
    much (Lange, Little and Taylor 1989, section 3).
    """
    return condensed._replace(covariance=condensed.covariance * (DEGREES + 3) / (DEGREES + 1))


def drift_at_visits(data: VisitData, weights: Floats, noise: Noise, log_ms: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of what drift makes of every visit, given the configurations' latencies ``log_ms``."""
    solver = _Drift(data, weights, noise)
    residuals = data.log_ms - log_ms[data.config]
    return solver.drift_given(residuals[:, None])[:, 0], solver.drift_variance()


class _Drift:
    """The covariance of visits, ``S V S``, ``V = W⁻¹ + D``, through the tridiagonal ``D⁻¹`` and ``A = D⁻¹ + W``.

    ``S`` is how drift grows with size, and ``W`` relative to it. Conditioning on ``aᵀd = 0`` takes
    ``D a aᵀ D / (aᵀ D a)`` from ``D``; since ``V⁻¹ D a = W A⁻¹ a``, it adds ``h hᵀ / p`` to ``V⁻¹`` with
    ``h = W A⁻¹ a`` and ``p = aᵀ A⁻¹ a``.
    """

    def __init__(self, data: VisitData, weights: Floats, noise: Noise) -> None:
        self.growth = noise.of_drift(data.medians)[data.config] / noise.drift
        self.weights = weights * (self.growth / noise.of_visit(data.medians)[data.config]) ** 2
        self.shares = data.shares
        gaps = np.maximum(np.diff(data.started_s) / noise.drift_s, _LEAST_GAP)
        # Precision of the process at the times: for neighbours with correlation r, 1 / (1 - r²) and -r / (1 - r²).
        gained = -1.0 / np.expm1(-2 * gaps)
        banded = np.ones((2, len(data.config)))
        banded[0, 1:] += gained - 1
        banded[0, :-1] += gained - 1
        banded[1, :-1] = -np.exp(-gaps) * gained
        banded /= noise.drift**2
        prior_root = cholesky_banded(banded, lower=True)
        banded[0] += self.weights
        self.root = cholesky_banded(banded, lower=True)
        self.mean_drift = cho_solve_banded((self.root, True), self.shares)
        self.mean_variance = float(self.shares @ self.mean_drift)
        prior_variance = float(self.shares @ cho_solve_banded((prior_root, True), self.shares))
        log_det = 2 * np.sum(np.log(self.root[0])) - 2 * np.sum(np.log(prior_root[0])) - np.sum(np.log(self.weights))
        log_det += 2 * np.sum(np.log(self.growth))
        self.log_det = float(log_det + np.log(self.mean_variance / prior_variance))

    def precision_times(self, columns: Floats) -> Floats:
        """``S⁻¹ V⁻¹ S⁻¹ columns`` for (visits, m) columns."""
        return (self.weights / self.growth**2)[:, None] * (columns - self.drift_given(columns))

    def drift_given(self, residuals: Floats) -> Floats:
        """The mean of ``S d`` given (visits, m) readings without the configurations' latencies."""
        drift: Floats = cho_solve_banded((self.root, True), (self.weights / self.growth)[:, None] * residuals)
        drift -= np.outer(self.mean_drift, self.shares @ drift) / self.mean_variance
        return self.growth[:, None] * drift

    def drift_variance(self) -> Floats:
        """The variance of ``S d`` at every visit, given readings at all of them."""
        variance: Floats = np.diag(cho_solve_banded((self.root, True), np.eye(len(self.weights))))
        return self.growth**2 * np.maximum(variance - self.mean_drift**2 / self.mean_variance, 0.0)
