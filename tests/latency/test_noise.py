"""The noise model against dense Gaussian formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.noise import Noise, VisitData, condense, drift_at_visits
from edgewidth.records.table import ConfigVisits

NOISE = Noise(visit=0.05, drift=0.04, drift_s=30.0, visit_ms=5.0, drift_ms=3.5)
HELD_OUT = 2
"""Configurations, the last ones, whose visits are not of the device's average state."""


@pytest.fixture
def data() -> VisitData:
    rng = np.random.default_rng(1)
    visits = [
        ConfigVisits(
            config=ChannelConfig((8 * (c + 1),)),
            values_ms=tuple((3 + c + rng.random(count)).tolist()),
            started_s=tuple((1e9 + 100 * rng.random(count)).tolist()),
        )
        for c, count in enumerate([3, 1, 4, 2, 5])
    ]
    return VisitData.of(visits[:-HELD_OUT], visits[-HELD_OUT:])


def _dense(data: VisitData, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the visits and of the drift, written out."""
    gaps = np.abs(data.started_s[:, None] - data.started_s) / NOISE.drift_s
    drift = NOISE.drift**2 * np.exp(-gaps)
    fitted = data.config < data.configs - HELD_OUT
    sums = drift[:, fitted].mean(axis=1)
    drift -= np.outer(sums, sums) / sums[fitted].mean()
    medians = np.array([np.median(data.log_ms[data.config == c]) for c in range(data.configs)])
    latency = np.exp(medians)[data.config]
    growth = np.sqrt(1 + (latency / NOISE.drift_ms) ** 4)
    drift *= np.outer(growth, growth)
    return drift + np.diag(NOISE.visit**2 * (1 + (latency / NOISE.visit_ms) ** 4) / weights), drift


def test_condensing_is_generalised_least_squares(data: VisitData) -> None:
    weights = np.random.default_rng(2).uniform(0.1, 1, len(data.config))
    covariance, _ = _dense(data, weights)
    design = np.eye(data.configs)[data.config]
    precision = np.linalg.inv(covariance)
    expected = np.linalg.inv(design.T @ precision @ design)
    condensed = condense(data, weights, NOISE)
    np.testing.assert_allclose(condensed.covariance, expected, rtol=1e-7)
    np.testing.assert_allclose(condensed.log_ms, expected @ design.T @ precision @ data.log_ms, rtol=1e-9)


def test_evidence_and_estimates_carry_the_whole_likelihood(data: VisitData) -> None:
    weights = np.ones(len(data.config))
    covariance, _ = _dense(data, weights)
    design = np.eye(data.configs)[data.config]
    rng = np.random.default_rng(3)
    root = rng.normal(size=(data.configs, data.configs))
    prior, mean = root @ root.T, rng.normal(size=data.configs)
    condensed = condense(data, weights, NOISE)
    whole = multivariate_normal(design @ mean, design @ prior @ design.T + covariance).logpdf(data.log_ms)
    split = multivariate_normal(mean, prior + condensed.covariance).logpdf(condensed.log_ms) + condensed.log_evidence
    assert split == pytest.approx(whole, rel=1e-7)


def test_drift_is_the_conditional_gaussian(data: VisitData) -> None:
    weights = np.random.default_rng(4).uniform(0.1, 1, len(data.config))
    covariance, drift = _dense(data, weights)
    latency = np.log(np.arange(3.0, 8.0))
    mean, variance = drift_at_visits(data, weights, NOISE, latency)
    gain = drift @ np.linalg.inv(covariance)
    np.testing.assert_allclose(mean, gain @ (data.log_ms - latency[data.config]), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(variance, np.diag(drift - gain @ drift), rtol=1e-6)
    fitted = data.config < data.configs - HELD_OUT
    assert np.mean((mean / NOISE.of_drift(data.medians)[data.config])[fitted]) == pytest.approx(0, abs=1e-9)


def test_scatter_ignores_outliers() -> None:
    rng = np.random.default_rng(5)
    visits = [
        ConfigVisits(
            config=ChannelConfig((c + 1,)),
            values_ms=(*(10 * np.exp(0.03 * rng.standard_normal(7))).tolist(), *([40.0] if c % 4 == 0 else [])),
            started_s=tuple(float(8 * c + i) for i in range(8 if c % 4 == 0 else 7)),
        )
        for c in range(60)
    ]
    assert VisitData.of(visits).scatter() == pytest.approx(0.03, rel=0.2)
