"""Estimates a latency, with an interval that holds, from raw visits.

The runs of one visit are not independent: they share a process, its memory and the mood of the device. So the
interval comes from how much visits differ, sessions, and states of the device minutes apart; see ``scatter``. One
model's visits hardly tell that by themselves: what is known of others on this device joins them, and where nothing is
known what is usual. The interval is a Student t with the degrees of freedom that this amounts to (Satterthwaite 1946).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.devices.measure.disturbed import SLOW
from edgewidth.devices.measure.scatter import UNKNOWN, Component, mean, own, pooled, states_of
from edgewidth.devices.measure.stretches import counting_runs, undisturbed
from edgewidth.devices.measure.tail import Tail, tail
from edgewidth.errors import InputError
from edgewidth.records.measurement import LatencyEstimate, Statistic

if TYPE_CHECKING:
    from edgewidth.devices.measure.scatter import Scatter, State
    from edgewidth.records.measurement import Visit

CONFIDENCE = 0.95
DISTURBED = 0.1
"""The sigma of a model without any undisturbed visit: it may be as much slower than the device is by itself."""


def counting(visits: Sequence[Visit], statistic: Statistic) -> list[Visit]:
    """The visits that count for a statistic; the best there is where none does, since a number is wanted.

    A tail is taken of slow visits too, not of those in which the device said that something was wrong.
    """
    quiet = [visit for visit in visits if visit.disturbed is None]
    slow = [visit for visit in visits if (visit.disturbed or "").startswith(SLOW)]
    if statistic is not Statistic.MEDIAN:
        return quiet + slow or list(visits)
    least_disturbed = sorted(slow, key=lambda visit: -undisturbed(visit).mean())[:1]
    return quiet or least_disturbed or list(visits)


def visit_ms(visit: Visit, statistic: Statistic) -> float:
    """The statistic of one visit's runs that count, in milliseconds."""
    return float(np.quantile(counting_runs(visit, statistic), statistic.quantile)) / 1e6


def scatter_of(models: Iterable[Sequence[Visit]], statistic: Statistic) -> Scatter:
    """How much the measurements of these models differ, pooled: what is known for others on the same device."""
    return pooled([_states(some, statistic) for visits in models if (some := counting(visits, statistic))])


def estimate(visits: Sequence[Visit], statistic: Statistic, *, known: Scatter | None = None) -> LatencyEstimate:
    """A statistic of the latency over all undisturbed visits, with its 95 % confidence interval.

    Args:
        visits: The visits of one model.
        statistic: What is taken of each visit's runs that count; their geometric mean is the value. A tail of one model
            by itself is that of all its runs, see ``tail``.
        known: ``scatter_of`` the models that were measured on the device.

    Raises:
        InputError: There are no visits.
    """
    some = counting(visits, statistic)
    if not some:
        raise InputError("There is no measurement to estimate a latency from.")
    if statistic is not Statistic.MEDIAN and known is None:
        return _of_tail(visits, some, statistic)
    states = _states(some, statistic)
    scatter = own(states, known or UNKNOWN, _spread(some, statistic))
    if statistic is Statistic.MEDIAN and all(visit.disturbed is not None for visit in some):
        visit = scatter.visit
        scatter = scatter._replace(visit=Component(max(visit.variance, DISTURBED**2), max(visit.freedom, 1.0)))
    from scipy.special import stdtrit  # noqa: PLC0415 - 0.1 s of import that only estimates need

    centre, variance, freedom = mean(states, scatter)
    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(variance)
    found = Tail(math.exp(centre), math.exp(centre - half), math.exp(centre + half))
    state_percent = 100 * math.sqrt(scatter.state.variance)
    return _told(visits, some, statistic, found).model_copy(update={"state_percent": state_percent})


def _of_tail(visits: Sequence[Visit], some: Sequence[Visit], statistic: Statistic) -> LatencyEstimate:
    """Of one model by itself: the runs of all visits together, since those of one are too few for its tail."""
    runs = [np.asarray(counting_runs(visit, statistic), dtype=float) / 1e6 for visit in some]
    return _told(visits, some, statistic, tail(runs, statistic.quantile))


def _told(visits: Sequence[Visit], some: Sequence[Visit], statistic: Statistic, found: Tail) -> LatencyEstimate:
    runs = sum(len(counting_runs(visit, statistic)) for visit in some)
    every = np.concatenate([visit.runs_ns for visit in visits])
    return LatencyEstimate(
        statistic=statistic,
        value_ms=found.value,
        low_ms=found.low,
        high_ms=found.high,
        visits=len(some),
        runs=runs,
        counted_percent=100 * runs / len(every),
        all_ms=float(np.quantile(every, statistic.quantile)) / 1e6,
    )


def _states(visits: Sequence[Visit], statistic: Statistic) -> list[State]:
    logs = np.log([max(visit_ms(visit, statistic), 1e-6) for visit in visits])
    return states_of(visits, logs)


def _spread(visits: Sequence[Visit], statistic: Statistic) -> float:
    """The usual spread of the runs of a visit: their interquartile range as a standard deviation of logarithms."""
    quartiles = [np.quantile(counting_runs(visit, statistic), (0.25, 0.75)) for visit in visits]
    return float(np.median([math.log(max(high, 1) / max(low, 1)) for low, high in quartiles])) / 1.349
