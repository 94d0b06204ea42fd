"""Which runs count: other programs, and other machines on the same processor, slow a device in stretches.

A visit is cut into stretches of three runs. What disturbs makes a device slower, never faster, so a model's fastest
stretch is nearest to the undisturbed device, and stretches beyond what the device's own jitter explains do not
count. A visit that was slow from end to end has no fast stretch: a fixed calculation before and after it tells. On a
virtual machine beside busy neighbours (60 networks, six campaigns of three to four visits of 100 ms) this
lowered the standard deviation between campaigns from 1.4 to 0.3 %, and from 4.5 to 0.7 % in the worst of them.

Only the median is taken of the runs that count: a tail is made of disturbances, and leaving them out would deny it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.records.measurement import Clock, Statistic, Visit

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUNS = 3
"""How many runs a stretch has: the fewest whose median a single late run does not move."""
LEAST_SHARE = 0.1
"""A visit of whose runs a smaller share is undisturbed does not count at all."""
_TOLERANCE = {Clock.WALL: 0.02, Clock.ICOUNT: 0.006, Clock.ESTIMATE: 0.006}
"""A stretch counts if it is slower than the model's fastest one by no more than this share."""
_JITTERS = 4.0
"""It counts too if it is slower by no more than so many standard deviations of single runs. The median of three runs
has two thirds of their standard deviation, so that of two hundred medians the fastest lies 1.9 standard deviations of
a run below the middle, and one in fifty lies 1.4 above it."""
_FASTEST = 0.05
"""The share of stretches that tells the device's own jitter: where a neighbour came and went within every stretch of
nine tenths of the time, a fifth took its coming and going for jitter, and the latency was found 2.5 % too slow."""
_LEAST_FASTEST = 32
"""Of few stretches so many tell it, yet no more than a fifth: a twentieth of them would be one or two."""
_QUIETEST = 0.02
"""The share of visits around which the processor is taken to be as fast as usual."""
SLOW_PROBE = 1.25
"""The processor was slow if the fixed calculation took so many times as long as usual. Where a busy neighbour
shares the core it took 1.5 to 1.8 times as long, and up to 1.2 times around visits that were fast."""


def usual_probe_ns(visits: Iterable[Visit]) -> float | None:
    """How long the fixed calculation takes on the undisturbed device; None: it was never made."""
    found = [time for visit in visits if (time := _probe_ns(visit)) is not None]
    return float(np.quantile(found, _QUIETEST)) if found else None


def slowness(visit: Visit, usual_ns: float | None) -> float:
    """How many times as long as usual the fixed calculation took around a visit, at its better end; 1 if not known."""
    probe_ns = _probe_ns(visit)
    return 1.0 if probe_ns is None or usual_ns is None else probe_ns / usual_ns


def _probe_ns(visit: Visit) -> int | None:
    return min((ns for state in (visit.before, visit.after) if (ns := state.probe_ns) is not None), default=None)


def own_jitter(models: Iterable[Sequence[Visit]]) -> float:
    """The standard deviation of single runs (of the logarithm) of the undisturbed device; 0 where too few were made.

    Robust, of the differences between neighbours in the fastest stretches of each model: of steady noise these are as
    large as in any others, and where stretches were disturbed they are the least so. Of all models the lower quartile.
    """
    found = [jitter for visits in models if (jitter := _fast_jitter(visits)) is not None]
    return float(np.quantile(found, 0.25)) if found else 0.0


def _fast_jitter(visits: Sequence[Visit]) -> float | None:
    stretches = np.concatenate([_stretches(_times(visit)) for visit in visits])
    telling = max(int(len(stretches) * _FASTEST), min(_LEAST_FASTEST, len(stretches) // 5))
    if not telling:
        return None
    fastest = np.argsort(np.median(stretches, axis=1))[:telling]
    return float(np.median(np.abs(np.diff(np.log(stretches[fastest]), axis=1)))) * 1.4826 / math.sqrt(2)


def slow_above_ns(visits: Sequence[Visit], clock: Clock, jitter: float) -> float:
    """Above which median a stretch of one model is disturbed, from all its visits."""
    fastest = min(float(_medians(_times(visit)).min()) for visit in visits)
    return fastest * (1 + max(_TOLERANCE[clock], _JITTERS * jitter))


def undisturbed(visit: Visit) -> NDArray[np.bool_]:
    """Which runs of a visit lie in undisturbed stretches: (runs,). All of them as long as nothing is known."""
    times = _times(visit)
    if visit.slow_above_ns is None:
        return np.ones(len(times), dtype=np.bool_)
    quiet = _medians(times) <= visit.slow_above_ns
    if len(times) < RUNS:
        return np.repeat(quiet, len(times))
    # What is left over at the end counts or not by its own median.
    left = times[len(times) // RUNS * RUNS :]
    rest = np.full(len(left), len(left) > 0 and np.median(left) <= visit.slow_above_ns, dtype=np.bool_)
    return np.concatenate([np.repeat(quiet, RUNS), rest])


def counting_runs(visit: Visit, statistic: Statistic) -> NDArray[np.float64]:
    """The runs of a visit that a statistic is taken of, in nanoseconds."""
    times = _times(visit)
    quiet = undisturbed(visit)
    return times[quiet] if statistic is Statistic.MEDIAN and quiet.any() else times


def _times(visit: Visit) -> NDArray[np.float64]:
    return np.maximum(np.asarray(visit.runs_ns, dtype=np.float64), 1.0)


def _stretches(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """(stretches, RUNS); what is left over at the end is not among them."""
    return times[: len(times) // RUNS * RUNS].reshape(-1, RUNS)


def _medians(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of every stretch; of runs that are too few for one, their own."""
    whole: NDArray[np.float64] = np.median(_stretches(times) if len(times) >= RUNS else times[None], axis=1)
    return whole
