"""Predictions of a latency table, each with its interval; and the table as factors, as the search takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.latency.stored import model_of
from edgewidth.latency.terms import choice_indices
from edgewidth.records.measurement import Clock

if TYPE_CHECKING:
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.latency.model import Model
    from edgewidth.latency.terms import Floats
    from edgewidth.records.table import LatencyTable

_CHUNK = 512
_NORMAL_95 = 1.96


class Prediction(NamedTuple):
    """Latencies of configurations with their 95 % intervals: arrays (configurations,) in milliseconds.

    The interval is of the latency itself, whatever state the device is in then: it drifts, and what a table predicts is
    the average state in which it was profiled. A measurement has its own noise besides.
    """

    mean_ms: Floats
    low_ms: Floats
    high_ms: Floats


class Predictor:
    """Predicts from a table. Making one takes a fraction of a second; then 10,000 configurations take less."""

    def __init__(self, table: LatencyTable) -> None:
        self._space = table.space
        self._model = model_of(table)
        # A device that counts instructions has no states; what was learned as drift is the prior's.
        self._drifts = table.setting.clock is Clock.WALL

    def predict(self, configs: Sequence[ChannelConfig]) -> Prediction:
        """The latency that the table's curve makes of the sum of ``offset_ms`` and the table's entries.

        Raises:
            InputError: A configuration is not one of the table's space.
        """
        indices = choice_indices(self._space, configs)
        mean = self._model.predict(indices)
        drift = self._model.hyper.noise.of_drift(np.log(mean)) * self._drifts
        spread = np.exp(_NORMAL_95 * np.hypot(deviations(self._model, indices), drift))
        return Prediction(mean, mean / spread, mean * spread)


def deviations(model: Model, indices: np.ndarray) -> Floats:
    """Relative standard deviations of predictions, computed piece by piece: (configurations,)."""
    starts = range(0, len(indices), _CHUNK)
    parts = [model.relative_deviation(indices[s : s + _CHUNK]) for s in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


class LatencyFactors(NamedTuple):
    """``offset_ms`` plus one value of every factor is what the table's curve makes the predicted latency of.

    A factor is a scope, ascending indices of width variables, and an array with one axis for each of them.
    """

    factors: list[tuple[tuple[int, ...], Floats]]
    offset_ms: float


def latency_factors(table: LatencyTable) -> LatencyFactors:
    """The table's entries summed by scope; what depends on no variable goes into the offset."""
    names = [variable.name for variable in table.space.variables]
    summed: dict[tuple[int, ...], Floats] = {}
    offset_ms = table.offset_ms
    for entry in table.entries:
        scope = tuple(names.index(name) for name in entry.scope)
        values = np.array(entry.values_ms)
        if not scope:
            offset_ms += float(values[0, 0])
            continue
        if len(scope) == 1:
            values = values[0]
        elif scope[0] > scope[1]:
            scope, values = scope[::-1], values.T
        summed[scope] = summed.get(scope, 0.0) + values
    return LatencyFactors(sorted(summed.items(), key=lambda item: item[0]), offset_ms)
