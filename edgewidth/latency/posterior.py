"""The table given measurements and hyperparameters: mean, covariance, and entries that are not negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls

if TYPE_CHECKING:
    from edgewidth.latency.basis import Basis
    from edgewidth.latency.evidence import Hyperparameters, Observations
    from edgewidth.latency.terms import Floats

_MOST_ROUNDS = 12
_MOST_AT_ZERO = 1500


@dataclass(frozen=True)
class Posterior:
    """A Gaussian over the weights of a basis. ``n`` configurations were measured."""

    variances: Floats
    """(columns,) of the prior."""
    rows: Floats
    """(n, columns) of the measured configurations, relative (``Observations.rows``)."""
    root: Floats
    """(n, n) lower Cholesky factor of the measurements' covariance ``S``."""
    residual: Floats
    """(n,) ``S⁻¹ target``."""

    @classmethod
    def of(cls, basis: Basis, observations: Observations, hyper: Hyperparameters) -> Posterior:
        """Condition the prior on the measurements."""
        variances = hyper.strengths[basis.group_of] ** 2
        condensed = observations.condense(hyper.noise)
        rows = observations.rows
        covariance = (rows * variances) @ rows.T + condensed.covariance
        covariance[np.diag_indices(len(rows))] += hyper.discrepancy**2
        root = np.tril(cho_factor(covariance, lower=True)[0])
        return cls(variances, rows, root, cho_solve((root, True), observations.target(condensed)))

    def weights(self) -> Floats:
        """The posterior mean of the weights: (columns,)."""
        mean: Floats = self.variances * (self.rows.T @ self.residual)
        return mean

    def covariance(self, rows: Floats, others: Floats) -> Floats:
        """The posterior covariance between functionals of the weights: (a, columns), (b, columns) → (a, b)."""
        scaled = rows * self.variances
        gained = scaled @ others.T
        gained -= self._explained(rows).T @ self._explained(others)
        return gained

    def variance(self, rows: Floats) -> Floats:
        """The posterior variance of functionals of the weights: (a, columns) → (a,)."""
        prior = (rows**2) @ self.variances
        variance: Floats = np.maximum(prior - np.sum(self._explained(rows) ** 2, axis=0), 0.0)
        return variance

    def _explained(self, rows: Floats) -> Floats:
        explained: Floats = solve_triangular(self.root, self.rows @ (rows * self.variances).T, lower=True)
        return explained

    def leave_one_out(self) -> tuple[Floats, Floats]:
        """Residuals of the measurements from what the others predict, and their standard deviations: (n,), (n,).

        Rasmussen and Williams 2006, equations 5.10 to 5.12.
        """
        precision = np.diag(cho_solve((self.root, True), np.eye(len(self.root))))
        return self.residual / precision, 1 / np.sqrt(precision)


def non_negative_weights(posterior: Posterior, entries: Floats, least: Floats) -> Floats:
    """The most probable weights for which ``entries @ weights >= least``: (entries, columns) and (entries,).

    The quadratic programme is solved through its dual on the entries that would be too small, added until none
    is. Entries beyond the bound on rounds stay slightly negative and are the caller's to clip.
    """
    mean = posterior.weights()
    tolerance = 1e-9 * float(np.max(np.abs(entries @ mean)))
    weights, chosen = mean, np.zeros(len(entries), dtype=bool)
    for _ in range(_MOST_ROUNDS):
        short = entries @ weights - least < -tolerance
        if not np.any(short & ~chosen) or np.count_nonzero(chosen | short) > _MOST_AT_ZERO:
            break
        chosen |= short
        active = entries[chosen]
        covariance = posterior.covariance(active, active)
        jitter = 1e-10 * float(np.trace(covariance)) / len(covariance)
        root = np.linalg.cholesky(covariance + jitter * np.eye(len(covariance)))
        # min ½ λᵀ C λ + λᵀ (active·mean - least) over λ ≥ 0 is a non-negative least squares problem in Lᵀ λ.
        forces, _ = nnls(root.T, solve_triangular(root, least[chosen] - active @ mean, lower=True))
        moved = active.T @ forces
        weights = mean + _covariance_times(posterior, moved)
    return weights


def _covariance_times(posterior: Posterior, vector: Floats) -> Floats:
    """The posterior covariance of the weights times a vector: (columns,)."""
    scaled = posterior.variances * vector
    seen = cho_solve((posterior.root, True), posterior.rows @ scaled)
    result: Floats = scaled - posterior.variances * (posterior.rows.T @ seen)
    return result
