"""How latency drifts while a device works without a pause: heat, throttling, a boost that ends."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.errors import DeviceError, InputError, TransientDeviceError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, MeasurementWarning
from edgewidth.records.validation import Sustained, SustainedPoint

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.store import MeasurementStore
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Setting, Visit

VISIT_S = {Clock.WALL: 2.0, Clock.ICOUNT: 0.1}
"""How long a visit lasts by the device's clock. An emulator's second takes its host a minute."""
_SHORTEST_S, _LONGEST_S = 2.0, 24 * 3600.0


def check_sustained(profile: DeviceProfile, duration_s: float) -> None:
    """Whether so long a load can be measured there, told before anything is measured.

    Raises:
        InputError: The duration is not between two seconds and a day, or the device is an estimate.
    """
    if profile.clock is Clock.ESTIMATE:
        raise InputError(f"{profile.name} is estimated, and is never under load.", remedy="Leave out `sustained_s`.")
    if not _SHORTEST_S <= duration_s <= _LONGEST_S:
        raise InputError(
            f"{duration_s:g} s of sustained load cannot be measured.", remedy="Use from 2s to 24h, such as 10m."
        )


def measure_sustained(
    device: Device,
    setting: Setting,
    model: Model,
    store: MeasurementStore,
    *,
    duration_s: float,
    progress: Progress = SILENT,
) -> tuple[Sustained | None, tuple[MeasurementWarning, ...]]:
    """Run one model for ``duration_s`` of this machine's time, with no more pause than loading it again takes.

    Its visits are kept in the store as those of the model ``sustained <seconds> <key>``, apart from visits that a
    rested device made; called again after an interruption it goes on. Interrupted it ends early, with what there is;
    where the device fails, too, since a load shows just that: there is a warning then, and maybe nothing else.

    Raises:
        InputError: As ``check_sustained``.
        KeyboardInterrupt: Before there was anything.
        StorageError: The store cannot be written.
    """
    check_sustained(device.profile, duration_s)
    visit_s = VISIT_S[setting.clock]
    policy = Policy(
        rounds=min(1000, math.ceil(duration_s / visit_s)),
        visit_ms=1e3 * max(visit_s, duration_s / 1000),
        max_runs=100_000,
        visit_max_ms=60_000,
        warmup_min_ms=1,
        warmup_max_ms=1,
        remeasure=0,
    )
    # Cooling down between visits is what a sustained load must not do.
    hot = device._replace(profile=device.profile.model_copy(update={"cool_down_c": None, "max_temperature_c": None}))
    loaded = model._replace(key=f"sustained {duration_s:g} {model.key}")
    until = time.monotonic() + duration_s
    warnings: tuple[MeasurementWarning, ...] = ()
    try:
        measure(hot, setting, [loaded], store, policy=policy, until=until, progress=progress)
    except KeyboardInterrupt:
        if loaded.key not in store.visits(setting):
            raise
        progress.say("The sustained load was stopped; what it showed until then counts.")
    except (DeviceError, TransientDeviceError) as error:
        warnings = (_failed(error),)
    visits = store.visits(setting).get(loaded.key, [])
    if not visits and not warnings:
        warnings = (_failed(DeviceError(f"Nothing was measured within {duration_s:g} s.")),)
    return summarise(visits) if visits else None, warnings


def _failed(error: DeviceError | TransientDeviceError) -> MeasurementWarning:
    """That the load ended before its time; what was found of the rested device stands."""
    return MeasurementWarning(
        code="load-failed",
        message=f"The sustained load failed, and what was measured before it stands. {error.message}",
        remedy=error.remedy or "Look at the device's cooling and power supply, or load it for longer.",
    )


def summarise(visits: Sequence[Visit]) -> Sustained:
    """Points in time, and the drift from the first tenth of them to the last."""
    points = [_point(visit, visits[0].started_s) for visit in visits]
    tenth = max(1, len(points) // 10)
    first, last = (float(np.median([p.median_ms for p in some])) for some in (points[:tenth], points[-tenth:]))
    return Sustained(
        duration_s=points[-1].at_s + sum(visits[-1].runs_ns) / 1e9,
        points=tuple(points),
        first_ms=first,
        last_ms=last,
        drift_percent=100 * (last / first - 1),
    )


def _point(visit: Visit, origin_s: float) -> SustainedPoint:
    median, p95 = np.quantile(visit.runs_ns, (0.5, 0.95)) / 1e6
    return SustainedPoint(
        at_s=visit.started_s - origin_s,
        median_ms=median,
        p95_ms=p95,
        temperature_c=visit.after.temperature_c,
        frequency_mhz=visit.after.frequency_mhz,
        throttled=visit.after.throttled,
    )
