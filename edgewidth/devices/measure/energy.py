"""The energy that one inference takes, from what power sensors said before and after visits.

A counter is good evidence: its difference over the visit, shared out by time. The power at a moment is poor evidence:
it is the one right after the runs, which most sensors average over some time before. Neither tells the inference from
what else hangs on the sensor, nor from what an idle device takes; so the device is let idle once, and that is told too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.devices.engines.table import support_of
from edgewidth.devices.measure.estimate import CONFIDENCE, counting
from edgewidth.devices.reach.facts import read_idle
from edgewidth.devices.reach.shell_facts import shell_idle
from edgewidth.errors import SurroundingsError
from edgewidth.records.measurement import Accelerator, Clock, Covers, EnergyEstimate, EnergyQuality, Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.devices.device import Device
    from edgewidth.records.measurement import DeviceState, Rail, Setting, Visit

IDLE_S = 2.0
"""How long the device is let idle: a counter that moves in steps of a tenth of a second is then known to 5 %."""
MOSTLY = 0.8
"""A counter's difference is good evidence if so much of its time, at least, was spent in runs."""
FEW_VISITS = 3
"""With fewer visits there is no interval, and no energy is good."""
DRIVER = "GPU driver"
"""The source that a GPU's driver is."""

_OTHERS = {Accelerator.GPU: {Covers.NPU}, Accelerator.NPU: {Covers.GPU}}
"""Rails on which what an engine computes with does not hang; of the processor's engines, either."""
_NEAREST = (Covers.BOARD, Covers.GPU, Covers.NPU, Covers.PROCESSOR, Covers.PART)
"""Of estimates that are equally good, the whole device's comes first, since that is what a battery pays for."""


def measure_energy(device: Device, setting: Setting, visits: Sequence[Visit]) -> tuple[EnergyEstimate, ...]:
    """The energy of an inference by every power sensor that is about the engine, the best estimate first.

    Where there is one, the device is left alone for ``IDLE_S`` seconds, to learn what it takes idle. Empty: the device
    has no such sensors, or may not read them.
    """
    some = counting(visits, Statistic.MEDIAN)
    if setting.clock is not Clock.WALL or not estimate_energy(some, setting.engine.accelerator):
        return ()
    return estimate_energy(some, setting.engine.accelerator, _idle(device, setting))


def estimate_energy(
    visits: Sequence[Visit],
    accelerator: Accelerator,
    idle: tuple[DeviceState, DeviceState] | None = None,
) -> tuple[EnergyEstimate, ...]:
    """What ``measure_energy`` returns, from visits that count and what the sensors said around an ``idle`` time."""
    found: dict[str, list[tuple[Visit, _Power]]] = {}
    for visit in visits:
        for power in _powers(visit.before, visit.after):
            found.setdefault(power.source, []).append((visit, power))
    idle_w = {power.source: power.power_w for power in _powers(*idle)} if idle else {}
    others = _OTHERS.get(accelerator, {Covers.GPU, Covers.NPU})
    estimates = [
        _estimate(pairs, idle_w.get(source))
        for source, pairs in found.items()
        if pairs[0][1].covers not in others and any(power.power_w for _, power in pairs)
    ]
    order = list(EnergyQuality)
    return tuple(sorted(estimates, key=lambda one: (order.index(one.quality), _NEAREST.index(one.covers))))


def _idle(device: Device, setting: Setting) -> tuple[DeviceState, DeviceState] | None:
    """What the sensors say around a time without inferences; None: the device cannot be asked, and the rest stands."""
    try:
        if support_of(setting.engine).needs_python:
            return read_idle(device.transport, device.python, IDLE_S)
        return shell_idle(device.transport, IDLE_S)
    except SurroundingsError:
        return None


class _Power(NamedTuple):
    """The power that a sensor told between two states: the mean over ``elapsed_s``; None: of the last moment."""

    source: str
    covers: Covers
    power_w: float
    elapsed_s: float | None = None


def _powers(before: DeviceState, after: DeviceState) -> Iterator[_Power]:
    earlier = {rail.source: rail for rail in before.rails}
    for rail in after.rails:
        if rail.power_w is not None:
            yield _Power(rail.source, rail.covers, rail.power_w)
        elif rail.source in earlier:
            elapsed_s = rail.at_s - earlier[rail.source].at_s
            counted_uj = _counted_uj(earlier[rail.source], rail)
            if counted_uj is not None and elapsed_s > 0:
                yield _Power(rail.source, rail.covers, counted_uj / 1e6 / elapsed_s, elapsed_s)
    if after.gpu is not None and after.gpu.power_w is not None:
        yield _Power(DRIVER, Covers.GPU, after.gpu.power_w)


def _counted_uj(before: Rail, after: Rail) -> int | None:
    """What a counter has counted; None: it began anew, and where it ended is not known."""
    if before.energy_uj is None or after.energy_uj is None:
        return None
    counted_uj = after.energy_uj - before.energy_uj
    if counted_uj < 0:
        counted_uj += after.wraps_uj or 0
    return counted_uj if counted_uj >= 0 else None


def _estimate(pairs: Sequence[tuple[Visit, _Power]], idle_w: float | None) -> EnergyEstimate:
    run_s = np.array([np.mean(visit.runs_ns) / 1e9 for visit, _ in pairs])
    power_w = np.array([power.power_w for _, power in pairs])
    energies_mj = 1e3 * power_w * run_s
    value_mj = float(energies_mj.mean())
    half_mj = _half_interval(energies_mj)
    source, covers, *_ = pairs[0][1]
    return EnergyEstimate(
        source=source,
        covers=covers,
        quality=_quality(pairs),
        value_mj=value_mj,
        low_mj=None if half_mj is None else max(0.0, value_mj - half_mj),
        high_mj=None if half_mj is None else value_mj + half_mj,
        visits=len(pairs),
        power_w=float(power_w.mean()),
        idle_w=idle_w,
        above_idle_mj=None if idle_w is None else max(0.0, value_mj - 1e3 * idle_w * float(run_s.mean())),
    )


def _quality(pairs: Sequence[tuple[Visit, _Power]]) -> EnergyQuality:
    shares = [sum(v.warmup_ns + v.runs_ns) / 1e9 / p.elapsed_s for v, p in pairs if p.elapsed_s is not None]
    if not shares:
        return EnergyQuality.POOR
    return EnergyQuality.GOOD if len(pairs) >= FEW_VISITS and np.median(shares) >= MOSTLY else EnergyQuality.FAIR


def _half_interval(values: NDArray[np.float64]) -> float | None:
    """Half the width of the mean's 95 % interval; None of few values."""
    if len(values) < FEW_VISITS:
        return None
    from scipy.special import stdtrit  # noqa: PLC0415 - as in estimate

    freedom = len(values) - 1
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2) * np.std(values, ddof=1)) / math.sqrt(len(values))
