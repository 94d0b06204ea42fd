"""Designed configurations cover the space, and tell more than random ones."""

from __future__ import annotations

import numpy as np
import pytest
from latency_truths import QUIET, SETTING, cached_device, chain, measure, residual_space, tiled_device

from edgewidth.latency.design import first_configs, held_out_configs, next_configs
from edgewidth.latency.fit import fit_table
from edgewidth.latency.predict import Predictor
from edgewidth.records.measurement import Statistic


@pytest.mark.parametrize("seed", [0, 1])
def test_first_configurations_cover_every_width(seed: int) -> None:
    space = chain()
    configs = first_configs(space, 20, np.random.default_rng(seed))
    assert len(set(configs)) == 20
    assert {space.smallest, space.largest} <= set(configs)
    for position, variable in enumerate(space.variables):
        assert {config[position] for config in configs} == set(variable.choices)


def test_every_size_is_measured() -> None:
    """Small networks tell most if the model is right; that it is right for large ones is not taken on trust."""
    space, rng = chain(), np.random.default_rng(6)
    truth = tiled_device(space)
    configs = first_configs(space, 24, rng)
    for _ in range(3):
        table = fit_table(space, SETTING, Statistic.MEDIAN, measure(truth, configs, QUIET, rng), [])
        configs += next_configs(table, 12, rng, exclude=configs)
    sizes = np.log([truth(config) for config in configs])
    counts, _ = np.histogram(sizes, bins=6)
    assert counts.min() >= 4


def test_a_seed_repeats_the_design() -> None:
    space = residual_space()
    first, second = (first_configs(space, 12, np.random.default_rng(3)) for _ in range(2))
    assert first == second


def test_no_more_is_asked_for_than_exists() -> None:
    space = residual_space()
    small = space.model_copy(
        update={"variables": tuple(v.model_copy(update={"choices": (8, 16)}) for v in space.variables)}
    )
    assert len(set(first_configs(small, 40, np.random.default_rng(0)))) == small.size == 16


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_left_of_a_small_space_is_found(seed: int) -> None:
    """However little that is."""
    space, rng = chain(), np.random.default_rng(seed)
    searched = {variable.name: variable.choices for variable in space.variables[3:5]}
    variables = tuple(v.model_copy(update={"choices": searched.get(v.name, (v.base,))}) for v in space.variables)
    small = space.model_copy(update={"variables": variables})
    assert small.size > 120
    configs = first_configs(small, small.size - 1, rng)
    table = fit_table(small, SETTING, Statistic.MEDIAN, measure(tiled_device(small), configs, QUIET, rng), [])
    configs += next_configs(table, 12, rng, exclude=configs)
    assert len(set(configs)) == len(configs) == small.size
    assert next_configs(table, 12, rng, exclude=configs) == []


def test_next_configurations_are_new_and_near_the_budget() -> None:
    space, rng = chain(), np.random.default_rng(4)
    configs = first_configs(space, 30, rng)
    truth = tiled_device(space)
    table = fit_table(space, SETTING, Statistic.MEDIAN, measure(truth, configs, QUIET, rng), [])
    budget = truth(space.uniform(0.7))
    proposed = next_configs(table, 8, rng, exclude=configs, near_ms=budget)
    assert len(set(proposed)) == 8
    assert not set(proposed) & set(configs)
    assert np.all(np.abs(Predictor(table).predict(proposed).mean_ms / budget - 1) < 0.09)


def test_designed_configurations_beat_random_ones() -> None:
    space = chain()
    truth = cached_device(space)
    errors: dict[str, list[float]] = {"designed": [], "random": []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        judged = held_out_configs(space, 60, rng)
        designs = {"designed": first_configs(space, 30, rng), "random": [space.sample(rng) for _ in range(30)]}
        for name, configs in designs.items():
            table = fit_table(space, SETTING, Statistic.MEDIAN, measure(truth, configs, QUIET, rng), [])
            predicted = Predictor(table).predict(judged).mean_ms
            errors[name].append(float(np.mean(np.abs(predicted / [truth(c) for c in judged] - 1))))
    assert np.mean(errors["designed"]) < np.mean(errors["random"])


def test_held_out_configurations_span_small_to_large() -> None:
    space = chain()
    truth = tiled_device(space)
    judged = [truth(config) for config in held_out_configs(space, 60, np.random.default_rng(5))]
    assert max(judged) / min(judged) > 6
