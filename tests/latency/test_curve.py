"""Devices whose latency is not the sum of their layers', and the curve that says by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from latency_truths import SETTING, Disturbance, chain, measure, tiled_device

from edgewidth.latency.curve import Curve, Departure
from edgewidth.latency.design import first_configs, held_out_configs
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import Predictor
from edgewidth.records.measurement import Statistic

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig


def test_what_large_networks_lose_together_is_learned() -> None:
    space, rng = chain(), np.random.default_rng(21)
    additive = tiled_device(space)
    middle = additive(space.uniform(1.0))

    def latency_ms(config: ChannelConfig) -> float:
        return float(additive(config) * (1 + 0.04 / (1 + np.exp(-6 * np.log(additive(config) / middle)))))

    fitted = first_configs(space, 60, rng)
    judged = held_out_configs(space, 60, rng, exclude=fitted)
    visits = measure(latency_ms, fitted, Disturbance(visits=4, visit=0.002, drift=0.001), rng)
    table = fit_table(space, SETTING, Statistic.MEDIAN, visits, [])
    prediction = Predictor(table).predict(judged)
    truth = np.array([latency_ms(config) for config in judged])
    errors = 100 * (prediction.mean_ms / truth - 1)
    # The best sum of layers cannot come nearer than this: 4 % spread over the sizes.
    assert np.sqrt(np.mean(errors**2)) < 0.35
    assert 0.02 < np.ptp(np.diff(np.log(table.curve))) < 0.06
    assert np.mean((prediction.low_ms <= truth) & (truth <= prediction.high_ms)) >= 0.85


def test_a_budget_on_the_curve_is_a_bound_on_the_sum() -> None:
    curve = Curve(np.log([1.0, 2.0, 4.0]), np.log([1.1, 2.1, 4.6]))
    sums = np.array([0.5, 1.0, 1.3, 2.0, 3.0, 4.0, 9.0])
    latencies = curve.latency_ms(sums)
    assert np.all(np.diff(latencies) > 0)
    assert latencies[[1, 3, 5]] == pytest.approx([1.1, 2.1, 4.6])
    assert latencies[[0, 6]] == pytest.approx([0.5 * 1.1, 9.0 * 1.15])
    assert [curve.sum_ms(ms) for ms in latencies.tolist()] == pytest.approx(sums.tolist())
    dense = np.linspace(0.2, 12, 20_001)
    steepest = np.max(np.diff(curve.latency_ms(dense)) / np.diff(dense))
    assert steepest <= curve.steepest * (1 + 1e-6)
    assert steepest >= 0.99 * curve.steepest


def test_departures_have_the_covariance_of_their_process() -> None:
    departure = Departure.between(0.1, 2.0)
    points = departure.log_sums
    covariance = np.exp(-0.5 * (points[:, None] - points) ** 2)
    centring = np.eye(len(points)) - 1 / len(points)
    rows = departure.at(points)
    np.testing.assert_allclose(rows @ rows.T, centring @ covariance @ centring, atol=1e-5)
    np.testing.assert_allclose(departure.at(points[:1] - 5), rows[:1])
    between = departure.at((points[:-1] + points[1:]) / 2)
    np.testing.assert_allclose(between, (rows[:-1] + rows[1:]) / 2)
