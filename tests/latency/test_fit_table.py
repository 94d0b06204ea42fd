"""The estimator recovers known devices from few measurements, and knows how far it can be trusted."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from latency_truths import (
    BUSY,
    QUIET,
    SETTING,
    Disturbance,
    cached_device,
    chain,
    counted_device,
    flattening_space,
    measure,
    residual_space,
    tiled_device,
)

from edgewidth.errors import FileError, InputError, MismatchError
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.latency.design import first_configs, held_out_configs
from edgewidth.latency.fit import fit_table
from edgewidth.latency.noise import Noise
from edgewidth.latency.predict import Predictor, latency_factors
from edgewidth.latency.quality import residuals
from edgewidth.latency.terms import terms_of
from edgewidth.records.measurement import Statistic
from edgewidth.records.table import ConfigVisits, LatencyTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.graph.space import ChannelConfig, SearchSpace


def _errors(
    table: LatencyTable, latency_ms: Callable[[ChannelConfig], float], configs: list[ChannelConfig]
) -> np.ndarray:
    """Errors of predictions against the truth, in percent."""
    truth = np.array([latency_ms(config) for config in configs])
    errors: np.ndarray = np.abs(100 * (Predictor(table).predict(configs).mean_ms / truth - 1))
    return errors


def _fit(
    space: SearchSpace, fitted: list[ConfigVisits], held_out: list[ConfigVisits], prior: LatencyTable | None = None
) -> LatencyTable:
    return fit_table(space, SETTING, Statistic.MEDIAN, fitted, held_out, prior=prior)


@cache
def _quiet() -> tuple[LatencyTable, list[ChannelConfig]]:
    space, rng = chain(), np.random.default_rng(11)
    fitted = first_configs(space, 40, rng)
    judged = held_out_configs(space, 60, rng, exclude=fitted)
    visits = measure(tiled_device(space), fitted + judged, QUIET, rng)
    return _fit(space, visits[:40], visits[40:]), judged


@cache
def _busy() -> tuple[LatencyTable, list[ChannelConfig]]:
    space, rng = chain(), np.random.default_rng(12)
    fitted = first_configs(space, 100, rng)
    judged = held_out_configs(space, 100, rng, exclude=fitted)
    visits = measure(cached_device(space), fitted + judged, BUSY, rng)
    return _fit(space, visits[:100], visits[100:]), judged


def test_steps_of_a_quiet_device_are_found_with_forty_networks() -> None:
    table, judged = _quiet()
    errors = _errors(table, tiled_device(table.space), judged)
    assert errors.mean() < 0.2
    assert errors.max() < 1.0
    assert table.quality.within5_percent == 100


def test_a_noisy_drifting_device_is_learned_below_its_noise() -> None:
    table, judged = _busy()
    errors = _errors(table, cached_device(table.space), judged)
    assert errors.mean() < 2.0
    assert np.sqrt(np.mean(errors**2)) < table.quality.noise_percent * 1.3


def test_noise_and_drift_are_learned() -> None:
    learned = _busy()[0].hyperparameters
    assert learned["noise_visit"] == pytest.approx(BUSY.visit, rel=0.35)
    assert learned["noise_drift"] == pytest.approx(BUSY.drift, rel=0.7)


def test_noise_that_large_networks_have_is_learned_as_theirs() -> None:
    space, rng = chain(), np.random.default_rng(16)
    latency_ms = cached_device(space)
    fitted = first_configs(space, 80, rng)
    middle_ms = float(np.median([latency_ms(config) for config in fitted]))
    disturbance = Disturbance(visits=8, visit=0.01, drift=0.01, grows_ms=middle_ms)
    learned = _fit(space, measure(latency_ms, fitted, disturbance, rng), []).hyperparameters
    noise = Noise(*(learned[f"noise_{name}"] for name in Noise._fields))
    small, large = np.log(middle_ms) + np.array([-1.0, 0.5])
    grown = np.hypot(1, np.exp(1.0))
    for deviations in (noise.of_visit, noise.of_drift):
        assert deviations(small) == pytest.approx(0.01, rel=0.4)
        assert deviations(large) / deviations(small) == pytest.approx(grown, rel=0.3)


def test_intervals_hold_for_truth_and_for_noisy_held_out() -> None:
    table, judged = _busy()
    truth = np.array([cached_device(table.space)(config) for config in judged])
    prediction = Predictor(table).predict(judged)
    inside = np.mean((prediction.low_ms <= truth) & (truth <= prediction.high_ms))
    assert inside >= 0.88
    assert 88 <= table.quality.coverage_percent <= 100


def test_intervals_of_a_device_without_noise_are_not_far_too_wide() -> None:
    """With few networks they must be wider than the errors turn out to be, and no more than some three times."""
    widths = []
    for seed in range(3):
        space, rng = chain(), np.random.default_rng(seed)
        fitted = first_configs(space, 36, rng)
        judged = held_out_configs(space, 100, rng, exclude=fitted)
        table = _fit(space, measure(tiled_device(space), fitted, QUIET, rng), [])
        prediction = Predictor(table).predict(judged)
        deviations = np.log(prediction.high_ms / prediction.mean_ms) / 1.96
        errors = _errors(table, tiled_device(space), judged) / 100
        assert np.mean(errors < 1.96 * deviations) >= 0.9
        widths.append(np.median(deviations) / np.sqrt(np.mean(errors**2)))
    assert np.mean(widths) < 2.4


def test_intervals_hold_for_other_states_of_the_device() -> None:
    """A latency minutes later is in 90 % of cases inside, where the table's own error is a tenth of the states'."""
    space, rng = chain(), np.random.default_rng(15)
    fitted = first_configs(space, 80, rng)
    judged = held_out_configs(space, 40, rng, exclude=fitted)
    visits = measure(tiled_device(space), fitted, Disturbance(visits=4, visit=0.002, drift=0.02), rng)
    prediction = Predictor(_fit(space, visits, [])).predict(judged)
    truth = np.array([tiled_device(space)(config) for config in judged])
    later = truth * np.exp(0.02 * rng.standard_normal((50, 1)))
    assert 0.88 <= np.mean((prediction.low_ms <= later) & (later <= prediction.high_ms)) <= 0.995


def test_outlier_visits_hardly_matter() -> None:
    space, rng = chain(), np.random.default_rng(13)
    fitted = first_configs(space, 60, rng)
    judged = held_out_configs(space, 40, rng, exclude=fitted)
    visits = measure(tiled_device(space), fitted, BUSY._replace(outliers=0.0, visit=0.02, drift=0.01), rng)
    clean = _fit(space, visits, [])
    broken = [v.model_copy(update={"values_ms": (v.values_ms[0] * 3, *v.values_ms[1:])}) for v in visits[::4]]
    dirty = _fit(space, [broken[i // 4] if i % 4 == 0 else v for i, v in enumerate(visits)], [])
    truth = tiled_device(space)
    assert _errors(dirty, truth, judged).mean() < 1.5 * _errors(clean, truth, judged).mean() + 0.2


def test_predictions_are_the_sum_of_the_tables_entries_on_its_curve() -> None:
    table, judged = _quiet()
    factors, offset_ms = latency_factors(table)
    indices = [table.space.indices(config) for config in judged]
    summed = [offset_ms + sum(values[tuple(i[v] for v in scope)] for scope, values in factors) for i in indices]
    curve = np.log(table.curve)
    expected = np.exp(np.interp(np.log(summed), *curve.T))
    np.testing.assert_allclose(Predictor(table).predict(judged).mean_ms, expected, rtol=1e-12)
    np.testing.assert_allclose(expected, summed, rtol=2e-3)  # this device is additive
    assert all(value >= 0 for entry in table.entries for row in entry.values_ms for value in row)


def test_a_table_predicts_the_same_after_a_file(tmp_path: Path) -> None:
    table, judged = _busy()
    table.write(tmp_path / "table.json")
    before, after = (Predictor(t).predict(judged) for t in (table, LatencyTable.read(tmp_path / "table.json")))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_table_that_does_not_fit_itself_is_told(tmp_path: Path) -> None:
    """Values missing from an entry, visits without their moments, and hyperparameters that are gone."""
    table, judged = _busy()
    path = tmp_path / "table.json"

    def changed(change: Callable[[dict[str, Any]], object]) -> LatencyTable:
        content = json.loads(table.to_json())
        change(content)
        path.write_text(json.dumps(content))
        return LatencyTable.read(path)

    for wrong, told in (
        (lambda content: content["entries"][1]["values_ms"][0].pop(), "does not have"),
        (lambda content: content["entries"][1].update(values_ms=[]), "does not have"),
        (lambda content: content["fitted"][0]["started_s"].pop(), "have not as many moments as values"),
        (lambda content: content["surprises"].pop(), "surprises of 100 fitted"),
    ):
        with pytest.raises(FileError, match=told):
            changed(wrong)
    for name in ("scale_ms", "discrepancy", "noise_visit"):
        left = {key: value for key, value in table.hyperparameters.items() if key != name}
        with pytest.raises(FileError, match=f"have no {name}"):
            Predictor(table.model_copy(update={"hyperparameters": left})).predict(judged)


def test_a_residual_network_has_a_table_too() -> None:
    space, rng = residual_space(), np.random.default_rng(14)
    fitted = first_configs(space, 30, rng)
    judged = held_out_configs(space, 40, rng, exclude=fitted)
    visits = measure(tiled_device(space), fitted + judged, QUIET, rng)
    table = _fit(space, visits[:30], visits[30:])
    assert _errors(table, tiled_device(space), judged).mean() < 0.5
    assert {len(scope) for scope, _ in latency_factors(table).factors} == {1, 2}


@pytest.mark.parametrize("seed", range(3))
def test_a_dense_layer_that_reads_a_map_works_for_every_pixel(seed: int) -> None:
    """A few networks are enough when that is known beforehand: most weights are there."""
    space, rng = flattening_space(), np.random.default_rng(seed)
    fitted = first_configs(space, 12, rng)
    judged = held_out_configs(space, 40, rng, exclude=fitted)
    table = _fit(space, measure(counted_device(space), fitted, QUIET, rng), [])
    assert _errors(table, counted_device(space), judged).mean() < 0.5


def test_taps_are_those_of_the_kernel_as_it_is() -> None:
    taps = {term.name: term.taps for term in terms_of(flattening_space())}
    assert taps == {"conv0": 25, "pool0": 4, "conv1": 25, "pool1": 4, "dense0": 49, "dense1": 1, "logits": 1}


@pytest.mark.parametrize("family", FAMILIES)
def test_forty_networks_are_enough_for_every_family(family: str) -> None:
    """Residual connections, squeeze-and-excite and large kernels included."""
    space, rng = search_space(family, resolution=64, in_channels=3, num_classes=10), np.random.default_rng(16)
    fitted = first_configs(space, 40, rng)
    judged = held_out_configs(space, 20, rng, exclude=fitted)
    visits = measure(tiled_device(space), fitted + judged, QUIET, rng)
    errors = _errors(_fit(space, visits[:40], visits[40:]), tiled_device(space), judged)
    assert errors.mean() < 0.5
    assert errors.max() < 2.0


def test_a_prior_table_saves_measurements() -> None:
    prior, judged = _quiet()
    space, rng = prior.space, np.random.default_rng(15)

    def other(config: ChannelConfig) -> float:
        return 3.1 * tiled_device(space)(config) + 0.05 * cached_device(space)(config)

    few = [config for config in first_configs(space, 6, rng) if config not in judged]
    visits = measure(other, few, QUIET, rng)
    with_prior, without = _fit(space, visits, [], prior), _fit(space, visits, [])
    assert _errors(with_prior, other, judged).mean() < 0.5 * _errors(without, other, judged).mean()
    assert _errors(with_prior, other, judged).mean() < 1.5


def test_intervals_with_a_prior_are_those_that_the_held_out_were_judged_by() -> None:
    prior, judged = _quiet()
    space, rng = prior.space, np.random.default_rng(17)
    few = first_configs(space, 12, rng, exclude=judged)
    quiet = QUIET._replace(visits=4)
    visits = measure(lambda config: 2.1 * tiled_device(space)(config), few + judged, quiet, rng)
    table = _fit(space, visits[:12], visits[12:], prior)
    found = Predictor(table).predict(judged)
    told = np.log([held.high_ms / held.low_ms for held in table.held_out])
    # Beside which the noise of these measurements is nothing.
    assert np.log(found.high_ms / found.low_ms) == pytest.approx(told, rel=0.05)


def test_a_prior_brings_its_curve() -> None:
    space, rng = residual_space(), np.random.default_rng(18)
    additive = tiled_device(space)
    middle = additive(space.uniform(1.0))

    def latency_ms(config: ChannelConfig) -> float:
        return additive(config) * float(1 + 0.25 * np.tanh(np.log(additive(config) / middle)))

    judged = held_out_configs(space, 40, rng)
    configs = first_configs(space, 50, rng, exclude=judged)
    prior = _fit(space, measure(latency_ms, configs, QUIET, rng), [])
    few = measure(lambda config: 2 * latency_ms(config), first_configs(space, 6, rng, exclude=judged), QUIET, rng)
    assert _errors(_fit(space, few, [], prior), lambda config: 2 * latency_ms(config), judged).mean() < 1.0


def test_a_prior_of_another_space_is_refused() -> None:
    table, _ = _quiet()
    space = residual_space()
    visits = measure(
        tiled_device(space), first_configs(space, 4, np.random.default_rng(0)), QUIET, np.random.default_rng(0)
    )
    with pytest.raises(MismatchError):
        _fit(space, visits, [], table)


def test_bad_measurements_are_refused() -> None:
    space = residual_space()
    rng = np.random.default_rng(0)
    visits = measure(tiled_device(space), first_configs(space, 4, rng), QUIET, rng)
    for wrong in (
        visits[:2],
        [*visits, visits[0]],
        [*visits[1:], visits[0].model_copy(update={"values_ms": (0.0,)})],
        [*visits[1:], visits[0].model_copy(update={"started_s": ()})],
    ):
        with pytest.raises(InputError):
            _fit(space, wrong, [])


def test_residuals_add_up_to_the_held_out() -> None:
    table, _ = _busy()
    found = residuals(table)
    assert sum(r.configs for r in found if r.variable == "w3") == table.quality.held_out
    mean = np.average(
        [r.mape_percent for r in found if r.variable == "w3"], weights=[r.configs for r in found if r.variable == "w3"]
    )
    assert mean == pytest.approx(table.quality.mape_percent)


def test_without_held_out_nothing_is_claimed() -> None:
    space, rng = residual_space(), np.random.default_rng(16)
    visits = measure(tiled_device(space), first_configs(space, 10, rng), QUIET, rng)
    assert "Not checked" in _fit(space, visits, []).quality.verdict
