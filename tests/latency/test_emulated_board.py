"""Latencies that real kernels need, counted in instructions on an emulated board: no formula of ours made them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from latency_truths import SETTING, chain

from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.fit import fit_table
from edgewidth.records.measurement import Statistic
from edgewidth.records.table import ConfigVisits


def test_forty_uniform_draws_predict_the_others() -> None:
    content = json.loads((Path(__file__).parent / "emulated_cortex_a72_int8.json").read_text())
    visits = [
        ConfigVisits(config=ChannelConfig.parse(config), values_ms=(ms,), started_s=(10.0 * i,))
        for i, (config, ms) in enumerate(zip(content["configs"], content["latencies_ms"], strict=True))
    ]
    order = np.random.default_rng(0).permutation(len(visits))
    fitted, held_out = [visits[i] for i in order[:40]], [visits[i] for i in order[40:]]
    quality = fit_table(chain(), SETTING, Statistic.MEDIAN, fitted, held_out).quality
    assert quality.mape_percent <= 0.3
    assert quality.worst_percent <= 1.5
    assert quality.coverage_percent >= 90
