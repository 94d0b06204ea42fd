"""A latency table fitted to a made-up device, for tests that need one and no measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.graph.costs import costs
from edgewidth.latency.fit import fit_table
from edgewidth.records.measurement import Engine, Precision, Runtime, Setting, Statistic
from edgewidth.records.table import ConfigVisits, LatencyTable

if TYPE_CHECKING:
    from edgewidth.graph.space import SearchSpace

SETTING = Setting(
    device="phone",
    hardware="phone",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="1",
    precision=Precision.INT8,
    threads=1,
)


def small_table(space: SearchSpace) -> LatencyTable:
    """An offset and five million multiply-accumulates per millisecond, from forty networks."""
    rng = np.random.default_rng(0)
    configs = {space.smallest, space.largest, space.uniform(1.0), *(space.sample(rng) for _ in range(40))}
    visits = [
        ConfigVisits(config=config, values_ms=(0.1 + costs(space, config).macs / 5e6,), started_s=(float(i),))
        for i, config in enumerate(sorted(configs))
    ]
    return fit_table(space, SETTING, Statistic.MEDIAN, visits, [])
