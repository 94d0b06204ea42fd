"""How strong each part of the prior is, how noisy the device: by the marginal likelihood of the measurements.

Latency is ``f = columns · weights`` in nominal work times ``scale_ms``. Errors of latency are relative, so the
model speaks of ``log f``, linearised about the current estimate ``about_ms``: ``log f ≈ log about + f/about - 1``
(a Gauss-Newton step of the Laplace approximation). Then the condensed log latencies are Gaussian with covariance

    S = Σ_g strength_g² R_g R_gᵀ + discrepancy² I + C(noise),    R = scale · rows / about,

and everything is closed (Rasmussen and Williams 2006, chapters 2 and 5). ``discrepancy`` is what no sum over
layers explains. Strengths have broad log-normal hyperpriors about their typical values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from edgewidth.latency.noise import Condensed, Noise, VisitData, condense

if TYPE_CHECKING:
    from edgewidth.latency.basis import Basis
    from edgewidth.latency.terms import Floats

_MOST_ITERATIONS = 60
_HYPER_SD = 2.0
"""Of the logarithms of strengths: a factor of 7 either way is one standard deviation."""
_NOISE_SD = 1.0
_DRIFT_S, _DRIFT_S_SD = 30.0, 1.0
_STEP = 1e-3


class Hyperparameters(NamedTuple):
    """What is learned. ``strengths``: (groups,) shares of latency; the rest are relative standard deviations."""

    strengths: Floats
    discrepancy: float
    noise: Noise

    def as_vector(self) -> Floats:
        """Logarithms in one vector: (groups + 4,)."""
        logarithms: Floats = np.log(np.concatenate([self.strengths, [self.discrepancy, *self.noise]]))
        return logarithms

    @classmethod
    def from_vector(cls, vector: Floats) -> Hyperparameters:
        """The inverse of ``as_vector``."""
        values = np.exp(vector)
        visit, drift, drift_s = map(float, values[-3:])
        return cls(values[:-4], float(values[-4]), Noise(visit, drift, drift_s))


@dataclass(frozen=True)
class Observations:
    """What hyperparameters are judged by. ``n`` configurations."""

    data: VisitData
    weights: Floats
    """(visits,) about 1, small for outliers."""
    rows: Floats
    """(n, columns) ``R``."""
    about_ms: Floats
    """(n,) where the logarithm is linearised."""
    prior_ms: Floats
    """(n,) mean of the prior: another table's prediction, or 0."""

    def condense(self, noise: Noise) -> Condensed:
        """The configurations' log latencies under this noise."""
        return condense(self.data, self.weights, noise)

    def target(self, condensed: Condensed) -> Floats:
        """The measured latencies less the prior mean, relative to ``about_ms``: (n,)."""
        target: Floats = 1 + condensed.log_ms - np.log(self.about_ms) - self.prior_ms / self.about_ms
        return target


def learn(basis: Basis, observations: Observations, start: Hyperparameters) -> Hyperparameters:
    """The most probable hyperparameters, from ``start``; a bounded number of L-BFGS steps.

    Every step of the optimiser lowers the objective, so that where it stops early it still is an improvement.
    """
    kernels = _kernels(basis, observations.rows)
    centre, spread, bounds = _hyperprior(basis, observations)

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, gradient = _negative_evidence(vector, observations, kernels)
        surprise = (vector - centre) / spread
        return value + 0.5 * float(surprise @ surprise), gradient + surprise / spread

    first = start.as_vector()
    solution = minimize(
        objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_ITERATIONS}
    )
    better = np.all(np.isfinite(solution.x)) and solution.fun <= objective(first)[0]
    return Hyperparameters.from_vector(solution.x if better else first)


def initial(basis: Basis, data: VisitData) -> Hyperparameters:
    """Where to start: typical strengths, and the noise that second visits show."""
    visit = min(max(data.scatter(), 1e-4), 0.3) if data.repeated else 0.01
    return Hyperparameters(basis.typical.copy(), 0.003, Noise(visit, visit / 2, _DRIFT_S))


def _hyperprior(basis: Basis, observations: Observations) -> tuple[Floats, Floats, list[tuple[float, float]]]:
    """Centre, standard deviation and bounds of the logarithms of all hyperparameters."""
    start = initial(basis, observations.data)
    centre = np.log(np.concatenate([basis.typical, [0.002, *start.noise]]))
    spread = np.full(len(centre), _HYPER_SD)
    bounds = [(float(np.log(1e-5)), float(np.log(3.0)))] * len(centre)
    # Drift as quick as single visits would pass for their noise, and the other way round.
    bounds[-2:] = [(float(np.log(1e-5)), float(np.log(0.3))), (float(np.log(5.0)), float(np.log(600.0)))]
    spread[-1] = _DRIFT_S_SD
    if observations.data.repeated:
        spread[-3] = _NOISE_SD
        bounds[-3] = (centre[-3] - 2, centre[-3] + 2)
    return centre, spread, bounds


def _kernels(basis: Basis, rows: Floats) -> Floats:
    """``R_g R_gᵀ`` of every group: (groups, n · n)."""
    n = len(rows)
    kernels = np.empty((len(basis.groups), n * n))
    for group in range(len(basis.groups)):
        part = rows[:, basis.group_of == group]
        kernels[group] = (part @ part.T).ravel()
    return kernels


def _negative_evidence(vector: Floats, observations: Observations, kernels: Floats) -> tuple[float, Floats]:
    hyper = Hyperparameters.from_vector(vector)
    n = len(observations.about_ms)
    variances = hyper.strengths**2
    prior = (variances @ kernels).reshape(n, n) + hyper.discrepancy**2 * np.eye(n)
    condensed = observations.condense(hyper.noise)
    covariance = prior + condensed.covariance
    factor = cho_factor(covariance, lower=True)
    residual = cho_solve(factor, observations.target(condensed))
    slope = np.outer(residual, residual) - cho_solve(factor, np.eye(n))
    by_strength = (kernels @ slope.ravel()) * variances
    by_discrepancy = hyper.discrepancy**2 * float(np.trace(slope))
    value = -_log_density(prior, observations, condensed)
    by_noise = [
        (-_log_density(prior, observations, observations.condense(_nudged(hyper.noise, i))) - value) / _STEP
        for i in range(3)
    ]
    return value, np.concatenate([-by_strength, [-by_discrepancy], by_noise])


def _nudged(noise: Noise, position: int) -> Noise:
    values = list(noise)
    values[position] *= np.exp(_STEP)
    return Noise(*values)


def _log_density(prior: Floats, observations: Observations, condensed: Condensed) -> float:
    """Log density of all visits, up to a constant."""
    root, _ = cho_factor(prior + condensed.covariance, lower=True)
    target = observations.target(condensed)
    fit = float(target @ cho_solve((root, True), target))
    log_det = 2 * float(np.sum(np.log(np.diag(root))))
    return condensed.log_evidence - 0.5 * (fit + log_det + len(target) * float(np.log(2 * np.pi)))
