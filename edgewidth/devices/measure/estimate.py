"""Estimates a latency, with an interval that holds, from raw visits.

The runs of one visit are not independent: they share a process, its memory and the mood of the device. So the
interval comes from how much whole visits differ. Two to four visits hardly tell that by themselves; what is known
beforehand joins them as a scaled inverse chi-squared prior (Gelman et al., Bayesian Data Analysis, section 3.3),
and the interval is a Student t with as many more degrees of freedom. Where other models were measured in the same
campaign, ``visit_sigma`` of all of them is that knowledge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.devices.measure.disturbed import SLOW
from edgewidth.devices.measure.stretches import counting_runs, undisturbed
from edgewidth.devices.measure.tail import Tail, tail
from edgewidth.errors import InputError
from edgewidth.records.measurement import LatencyEstimate, Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.records.measurement import Visit

CONFIDENCE = 0.95
POOLED_VISITS = 6.0
"""How many visits the spread of other models is worth: they are alike, not the same."""
ALONE = (1.0, 0.01)
"""Without others: worth one visit, and a sigma of this share, or that of the runs if they differ even less."""
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


def visit_sigma(models: Iterable[Sequence[Visit]], statistic: Statistic) -> float | None:
    """The standard deviation of visits to one model (of the logarithm), pooled over models; None: none has two."""
    squares, freedom = 0.0, 0
    for visits in models:
        logs = _logs(counting(visits, statistic), statistic)
        squares += float(np.sum((logs - logs.mean()) ** 2)) if len(logs) else 0.0
        freedom += max(len(logs) - 1, 0)
    return math.sqrt(squares / freedom) if freedom else None


def estimate(visits: Sequence[Visit], statistic: Statistic, *, sigma: float | None = None) -> LatencyEstimate:
    """A statistic of the latency over all undisturbed visits, with its 95 % confidence interval.

    Args:
        visits: The visits of one model.
        statistic: What is taken of each visit's runs that count; their geometric mean is the value. A tail of one model
            by itself is that of all its runs, see ``tail``.
        sigma: ``visit_sigma`` of the models that were measured with it.

    Raises:
        InputError: There are no visits.
    """
    some = counting(visits, statistic)
    if not some:
        raise InputError("There is no measurement to estimate a latency from.")
    if statistic is not Statistic.MEDIAN and sigma is None:
        return _of_tail(visits, some, statistic)
    logs = _logs(some, statistic)
    if statistic is Statistic.MEDIAN and all(visit.disturbed is not None for visit in some):
        sigma = max(sigma or 0.0, DISTURBED)
    worth, sigma = (POOLED_VISITS, sigma) if sigma is not None else (ALONE[0], min(ALONE[1], _spread(some, statistic)))
    centre, half = float(logs.mean()), _half_width(logs, worth, sigma)
    found = Tail(math.exp(centre), math.exp(centre - half), math.exp(centre + half))
    return _told(visits, some, statistic, found)


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


def _logs(visits: Sequence[Visit], statistic: Statistic) -> NDArray[np.float64]:
    return np.log([max(visit_ms(visit, statistic), 1e-6) for visit in visits])


def _spread(visits: Sequence[Visit], statistic: Statistic) -> float:
    """The usual spread of the runs of a visit: their interquartile range as a standard deviation of logarithms."""
    quartiles = [np.quantile(counting_runs(visit, statistic), (0.25, 0.75)) for visit in visits]
    return float(np.median([math.log(max(high, 1) / max(low, 1)) for low, high in quartiles])) / 1.349


def _half_width(logs: NDArray[np.float64], worth: float, sigma: float) -> float:
    """Half the interval's width on the logarithmic scale; a prior of ``worth`` visits with this ``sigma``."""
    from scipy.special import stdtrit  # noqa: PLC0415 - 0.1 s of import that only estimates need

    freedom = worth + len(logs) - 1
    variance = (worth * sigma**2 + float(np.sum((logs - logs.mean()) ** 2))) / freedom
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * math.sqrt(variance / len(logs))
