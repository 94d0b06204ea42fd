"""How strong each part of the prior is, how noisy the device: by the marginal likelihood of the measurements.

Latency is ``f = columns · weights`` in nominal work times ``scale_ms``. Errors of latency are relative, so the
model speaks of ``log f``, linearised about the current estimate ``about_ms``: ``log f ≈ log about + f/about - 1``
(a Gauss-Newton step of the Laplace approximation). Then the condensed log latencies are Gaussian with covariance

    S = Σ_g strength_g² R_g R_gᵀ + discrepancy² I + C(noise),    R = scale · rows / about,

and everything is closed (Rasmussen and Williams 2006, chapters 2 and 5). ``discrepancy`` is what no sum over
layers explains. Strengths have broad log-normal hyperpriors about their typical values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from edgewidth.latency.noise import Condensed, Noise, VisitData, condense, robust

if TYPE_CHECKING:
    from edgewidth.latency.basis import Basis
    from edgewidth.latency.terms import Floats

_MOST_ITERATIONS = 60
_HYPER_SD = 2.0
"""The standard deviation of the logarithms of strengths: a factor of 7 either way."""
_NOISE_SD = 1.0
_DRIFT_S, _DRIFT_S_SD = 30.0, 1.0
_GROWTH_SD = 0.75
_STEP = 1e-3
_NOT_NOISE = -len(Noise._fields)
"""Where the noise's part of a vector of hyperparameters begins."""


class Hyperparameters(NamedTuple):
    """What is learned. ``strengths``: (groups,) shares of latency; the rest are relative standard deviations."""

    strengths: Floats
    discrepancy: float
    noise: Noise

    def as_vector(self) -> Floats:
        """Logarithms in one vector: (groups + 6,), the noise's last."""
        logarithms: Floats = np.log(np.append(self.strengths, self.discrepancy))
        return np.concatenate([logarithms, self.noise.as_vector()])


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
    """(n,) mean of the prior: another table's sums, or 0."""
    prior_departure: Floats
    """(n,) how far latencies are from sums by that table's curve, in logarithms, or 0."""

    def condense(self, noise: Noise) -> Condensed:
        """The configurations' log latencies under this noise."""
        return robust(condense(self.data, self.weights, noise))

    def target(self, condensed: Condensed) -> Floats:
        """The measured latencies less the prior mean, relative to ``about_ms``: (n,)."""
        target: Floats = 1 + condensed.log_ms - np.log(self.about_ms) - self.prior_ms / self.about_ms
        return target - self.prior_departure


def learn(basis: Basis, observations: Observations, start: Hyperparameters) -> Hyperparameters:
    """More probable hyperparameters than ``start``: first the noise, then the strengths given the noise.

    Both searches take a bounded number of L-BFGS steps, and a result that is no better than its start is not
    taken; the estimator calls this several times.
    """
    kernels = _kernels(basis, observations.rows)
    hyperprior = _Hyperprior.of(basis, observations.data)
    noise = _learn_noise(observations, kernels, start, hyperprior)
    condensed = observations.condense(noise)

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, gradient = _evidence(vector, observations.target(condensed), condensed.covariance, kernels)
        surprise = (vector - hyperprior.centre[:_NOT_NOISE]) / hyperprior.spread[:_NOT_NOISE]
        return 0.5 * float(surprise @ surprise) - value, surprise / hyperprior.spread[:_NOT_NOISE] - gradient

    vector = _improve(objective, start.as_vector()[:_NOT_NOISE], hyperprior.bounds[:_NOT_NOISE])
    return Hyperparameters(np.exp(vector[:-1]), float(np.exp(vector[-1])), noise)


def _learn_noise(observations: Observations, kernels: Floats, start: Hyperparameters, hyperprior: _Hyperprior) -> Noise:
    """The noise given the strengths, by finite differences: it is five numbers."""
    prior = _prior_covariance(start.strengths**2, start.discrepancy, kernels, len(observations.about_ms))

    def value(vector: Floats) -> float:
        condensed = observations.condense(Noise.from_vector(vector))
        surprise = (vector - hyperprior.centre[_NOT_NOISE:]) / hyperprior.spread[_NOT_NOISE:]
        between = _log_density(prior + condensed.covariance, observations.target(condensed))
        return 0.5 * float(surprise @ surprise) - condensed.log_evidence - between

    def objective(vector: Floats) -> tuple[float, Floats]:
        here = value(vector)
        return here, np.array([(value(vector + _STEP * unit) - here) / _STEP for unit in np.eye(len(vector))])

    return Noise.from_vector(_improve(objective, start.noise.as_vector(), hyperprior.bounds[_NOT_NOISE:]))


def _improve(
    objective: Callable[[Floats], tuple[float, Floats]], first: Floats, bounds: list[tuple[float, float]]
) -> Floats:
    found = minimize(
        objective,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _MOST_ITERATIONS, "ftol": 1e-7},
    )
    better = np.all(np.isfinite(found.x)) and found.fun <= objective(first)[0]
    return found.x if better else first


def initial(basis: Basis, data: VisitData) -> Hyperparameters:
    """Where to start: typical strengths, and the noise that second visits show."""
    visit = min(max(data.scatter(), 1e-4), 0.3) if data.repeated else 0.01
    typical_ms, never_ms = float(np.exp(np.mean(data.medians))), _never_ms(data)
    grows = (2 * typical_ms, typical_ms) if data.repeated else (never_ms, never_ms)
    noise = Noise(visit, visit / 2, _DRIFT_S, *grows)
    return Hyperparameters(basis.typical.copy(), 0.003, noise)


def _never_ms(data: VisitData) -> float:
    """So far above all latencies that noise does not grow with them."""
    return 10 * float(np.exp(np.max(data.medians)))


class _Hyperprior(NamedTuple):
    """Centre, standard deviation and bounds of the logarithms of all hyperparameters: (groups + 6,)."""

    centre: Floats
    spread: Floats
    bounds: list[tuple[float, float]]

    @classmethod
    def of(cls, basis: Basis, data: VisitData) -> _Hyperprior:
        """Broad, but for the noise where second visits show it; without them it does not grow with size."""
        centre = Hyperparameters(basis.typical, 0.002, initial(basis, data).noise).as_vector()
        spread = np.full(len(centre), _HYPER_SD)
        spread[-3:] = _DRIFT_S_SD, _GROWTH_SD, _GROWTH_SD
        bounds = [(float(np.log(1e-5)), float(np.log(3.0)))] * len(centre)
        # Drift as quick as single visits would pass for their noise, and the other way round; far beyond these
        # ratios the noise's equations lose their digits.
        bounds[-4:-2] = [(float(np.log(1e-3)), float(np.log(50.0))), (float(np.log(5.0)), float(np.log(600.0)))]
        bounds[-2:] = [(float(middle) - 2 * data.repeated, float(np.log(_never_ms(data)))) for middle in centre[-2:]]
        if data.repeated:
            spread[_NOT_NOISE] = _NOISE_SD
            bounds[_NOT_NOISE] = (float(centre[_NOT_NOISE]) - 2, float(centre[_NOT_NOISE]) + 2)
        return cls(centre, spread, bounds)


def _kernels(basis: Basis, rows: Floats) -> Floats:
    """``R_g R_gᵀ`` of every group: (groups, n · n)."""
    n = len(rows)
    kernels = np.empty((len(basis.groups), n * n))
    for group in range(len(basis.groups)):
        part = rows[:, basis.group_of == group]
        kernels[group] = (part @ part.T).ravel()
    return kernels


def _prior_covariance(variances: Floats, discrepancy: float, kernels: Floats, n: int) -> Floats:
    covariance: Floats = (variances @ kernels).reshape(n, n)
    covariance[np.diag_indices(n)] += discrepancy**2
    return covariance


def _evidence(vector: Floats, target: Floats, noise: Floats, kernels: Floats) -> tuple[float, Floats]:
    """Log density of the target and its gradient in the logarithms of strengths and discrepancy.

    Rasmussen and Williams 2006, equation 5.9.
    """
    variances, discrepancy = np.exp(2 * vector[:-1]), float(np.exp(vector[-1]))
    n = len(target)
    root, _ = cho_factor(_prior_covariance(variances, discrepancy, kernels, n) + noise, lower=True)
    residual = cho_solve((root, True), target)
    slope = np.outer(residual, residual) - cho_solve((root, True), np.eye(n))
    value = -0.5 * float(target @ residual) - float(np.sum(np.log(np.diag(root))))
    gradient = np.append((kernels @ slope.ravel()) * variances, discrepancy**2 * np.trace(slope))
    return value, gradient


def _log_density(covariance: Floats, target: Floats) -> float:
    """Log density of a Gaussian with mean zero, up to a constant."""
    root, _ = cho_factor(covariance, lower=True)
    return -0.5 * float(target @ cho_solve((root, True), target)) - float(np.sum(np.log(np.diag(root))))
