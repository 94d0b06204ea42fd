"""A table is told to be out of date when its device changed, and not by noise alone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from latency_truths import SETTING, Disturbance, measure, residual_space, tiled_device

from edgewidth.errors import InputError
from edgewidth.latency.agreement import agreement
from edgewidth.latency.design import first_configs, held_out_configs
from edgewidth.latency.fit import fit_table
from edgewidth.records.measurement import Statistic

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.records.table import LatencyTable

NOISY = Disturbance(visits=4, visit=0.01, drift=0.005)


@cache
def _table() -> LatencyTable:
    space, rng = residual_space(), np.random.default_rng(1)
    return fit_table(
        space, SETTING, Statistic.MEDIAN, measure(tiled_device(space), first_configs(space, 30, rng), NOISY, rng), []
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_same_device_agrees(seed: int) -> None:
    table, rng = _table(), np.random.default_rng(seed)
    found = agreement(table, measure(tiled_device(table.space), held_out_configs(table.space, 6, rng), NOISY, rng))
    assert found.agrees
    assert "still holds" in found.sentence


def test_a_slower_clock_is_a_common_factor() -> None:
    table, rng = _table(), np.random.default_rng(7)
    truth = tiled_device(table.space)
    configs = held_out_configs(table.space, 6, rng)
    found = agreement(table, measure(lambda config: 1.15 * truth(config), configs, NOISY, rng))
    assert not found.agrees
    assert found.shift_percent == pytest.approx(100 * np.log(1.15), abs=2)
    assert "slower" in found.sentence


def test_another_shape_of_the_latencies_is_no_common_factor() -> None:
    table, rng = _table(), np.random.default_rng(8)
    truth = tiled_device(table.space)

    def other(config: ChannelConfig) -> float:
        return truth(config) * (1.3 if config[0] > 32 else 0.8)

    found = agreement(table, measure(other, held_out_configs(table.space, 8, rng), NOISY, rng))
    assert not found.agrees
    assert "profile it again" in found.sentence


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(InputError):
        agreement(_table(), [])
