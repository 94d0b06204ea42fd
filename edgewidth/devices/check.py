"""Is a device fit to measure on? Told in seconds, each finding with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.devices.device import open_device
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.energy import measure_energy
from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.warnings import ASK_FOR_THROTTLING
from edgewidth.devices.on_device.sensors import BATTERY_CHARGED, RAPL_CLOSED
from edgewidth.devices.on_device.vitals import THROTTLE_FLAGS
from edgewidth.documents import Record
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.files import temporary_folder
from edgewidth.progress import SILENT
from edgewidth.records.measurement import (
    Clock,
    DeviceFacts,
    DeviceState,
    EnergyEstimate,
    Engine,
    LatencyEstimate,
    MeasurementWarning,
    Precision,
    Ran,
    Statistic,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.devices.device import Device
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import Setting, Visit

_POLICY = Policy(rounds=3, visit_ms=100, warmup_max_ms=500, remeasure=0, silence_s=30, restarts=1)
_MIN_MEMORY = 64_000_000
ASK_FOR_RAPL = "On the device, until it is started again: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
ASK_FOR_BATTERY = "Unplug it, and reach a phone by Wi-Fi meanwhile, if you want to know the energy of an inference."


class CheckItem(Record):
    """One thing that was looked at. ``remedy``: what to do where it is not ok."""

    name: str
    ok: bool
    finding: str
    remedy: str | None = None


class DeviceCheck(Record):
    """Whether a device is fit, and everything that was found. ``first`` is the median latency of the trial model."""

    device: str
    ok: bool
    items: tuple[CheckItem, ...]
    warnings: tuple[MeasurementWarning, ...] = ()
    facts: DeviceFacts | None = None
    first: LatencyEstimate | None = None


def check_device(
    profile: DeviceProfile,
    engine: Engine,
    threads: int,
    trial: Model,
    *,
    progress: Progress = SILENT,
) -> DeviceCheck:
    """Reach a device, look at it and measure a small model; what fails is an item, not an exception.

    ``trial`` is a float32 model that the engine executes, whose speed is looked at.

    Raises:
        InputError: More threads than the device's clock can show.
    """
    try:
        with open_device(profile, progress=progress) as device:
            return _check_open(device, engine, threads, trial, progress)
    except (DeviceError, TransientDeviceError) as error:
        item = CheckItem(name="reachable", ok=False, finding=error.message, remedy=error.remedy)
        return DeviceCheck(device=profile.name, ok=False, items=(item,))


def _check_open(device: Device, engine: Engine, threads: int, trial: Model, progress: Progress) -> DeviceCheck:
    items = [CheckItem(name="reachable", ok=True, finding=device.facts.hardware), _space(device)]
    warnings: tuple[MeasurementWarning, ...] = ()
    first = None
    try:
        # The trial model's precision; only its speed is looked at.
        setting = device.setting(engine, Precision.FLOAT32, threads)
        items.append(CheckItem(name="runtime", ok=True, finding=f"{engine} {setting.runtime_version}"))
    except DeviceError as error:
        items.append(CheckItem(name="runtime", ok=False, finding=error.message, remedy=error.remedy))
    else:
        try:
            visits, warnings = _measure(device, setting, trial, progress)
            first = estimate(visits, Statistic.MEDIAN)
            ran = next((visit.ran for visit in visits if visit.ran is not None), None)
            accelerated = [] if ran is None else [_accelerator(ran)]
            states = _state_items(device.profile, visits[-1].after)
            energy = _energy(measure_energy(device, setting, visits), visits[-1].after)
            items += [*accelerated, _clock(setting), *states, _latency(first, trial), *energy]
        except (DeviceError, TransientDeviceError) as error:
            items.append(
                CheckItem(
                    name="latency" if engine.accelerator.is_cpu else "accelerator",
                    ok=False,
                    finding=error.message,
                    remedy=error.remedy,
                )
            )
    return DeviceCheck(
        device=device.profile.name,
        ok=all(item.ok for item in items),
        items=tuple(items),
        warnings=warnings,
        facts=device.facts,
        first=first,
    )


def _measure(
    device: Device, setting: Setting, trial: Model, progress: Progress
) -> tuple[list[Visit], tuple[MeasurementWarning, ...]]:
    with (
        temporary_folder() as folder,
        MeasurementStore(folder / "check.sqlite") as store,
    ):
        warnings = measure(device, setting, [trial], store, policy=_POLICY, progress=progress)
        return store.visits(setting)[trial.key], warnings


def _accelerator(ran: Ran) -> CheckItem:
    return CheckItem(
        name="accelerator",
        ok=ran.accelerated > 0,
        finding=f"{ran} in the trial model",
        remedy=None if ran.accelerated else "See what the accelerator needs there: its driver, its library.",
    )


def _space(device: Device) -> CheckItem:
    free, wanted = device.facts.free_bytes, device.profile.min_free_mb * 1_000_000
    if free is None:
        return CheckItem(name="space", ok=True, finding="the device does not say")
    ok = free >= wanted
    return CheckItem(
        name="space",
        ok=ok,
        finding=f"{free / 1e6:.0f} MB free, {wanted / 1e6:.0f} MB wanted",
        remedy=None if ok else "Free space there, or name another folder: `workdir=/path`",
    )


def _clock(setting: Setting) -> CheckItem:
    texts = {
        Clock.WALL: "real time",
        Clock.ICOUNT: "counted instructions, 1 ns each: no real device's latency",
        Clock.ESTIMATE: "a compiler's estimate: nothing is run or measured",
    }
    return CheckItem(name="clock", ok=True, finding=texts[setting.clock])


def _state_items(profile: DeviceProfile, state: DeviceState) -> list[CheckItem]:
    """What the device says of itself right after it has worked; what it does not say is left out."""
    items = []
    if state.available_bytes is not None:
        ok = state.available_bytes >= _MIN_MEMORY
        finding = f"{state.available_bytes / 1e6:.0f} MB free"
        items.append(CheckItem(name="memory", ok=ok, finding=finding, remedy=None if ok else "Stop other programs."))
    if state.temperature_c is not None:
        limit = profile.max_temperature_c
        ok = limit is None or state.temperature_c <= limit
        remedy = None if ok else "Let it cool down, or cool it better."
        items.append(CheckItem(name="temperature", ok=ok, finding=f"{state.temperature_c:.0f} °C", remedy=remedy))
    if state.governor is not None:
        speed = f", {state.frequency_mhz:.0f} MHz" if state.frequency_mhz else ""
        items.append(CheckItem(name="governor", ok=True, finding=f"{state.governor}{speed}"))
    items.append(_throttling(state))
    kinds = (("gpu", state.gpu), ("npu", state.npu))
    return items + [CheckItem(name=kind, ok=True, finding=str(one)) for kind, one in kinds if one is not None]


def _throttling(state: DeviceState) -> CheckItem:
    if state.throttling_unknown:
        finding = f"cannot tell: {state.throttling_unknown}"
        return CheckItem(name="throttling", ok=True, finding=finding, remedy=ASK_FOR_THROTTLING)
    now = [flag for flag in state.throttled if flag in THROTTLE_FLAGS]
    return CheckItem(
        name="throttling",
        ok=not now,
        finding=", ".join(state.throttled) or "none seen",
        remedy="Cool it better, or use the power supply made for it." if now else None,
    )


def _energy(estimates: Sequence[EnergyEstimate], state: DeviceState) -> list[CheckItem]:
    """What an inference takes; or why it cannot be told on a device that has sensors for it."""
    if estimates:
        return [CheckItem(name="energy", ok=True, finding=str(estimates[0]))]
    if state.rails_unknown is None:
        return []
    remedies = {RAPL_CLOSED: ASK_FOR_RAPL, BATTERY_CHARGED: ASK_FOR_BATTERY}
    remedy = next((remedy for reason, remedy in remedies.items() if reason in state.rails_unknown), None)
    return [CheckItem(name="energy", ok=True, finding=f"cannot tell: {state.rails_unknown}", remedy=remedy)]


def _latency(first: LatencyEstimate, trial: Model) -> CheckItem:
    spread = 50 * (first.high_ms - first.low_ms) / first.value_ms
    given = f" given {'; '.join(map(str, trial.feed.inputs))}" if trial.feed else ""
    finding = f"{first.value_ms:.3g} ms ± {spread:.1f} % for a small convolution{given} ({first.runs} runs)"
    return CheckItem(name="latency", ok=True, finding=finding)
