"""What makes measurements less trustworthy, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.devices.measure.disturbed import SLOW, swapped
from edgewidth.devices.measure.scatter import states_of
from edgewidth.devices.measure.stretches import counting_runs, undisturbed
from edgewidth.devices.on_device.visit import is_steady, window_runs
from edgewidth.devices.on_device.vitals import THROTTLE_FLAGS
from edgewidth.records.measurement import Clock, MeasurementWarning, Statistic

if TYPE_CHECKING:
    from edgewidth.devices.measure.policy import Policy
    from edgewidth.records.measurement import DeviceState, LatencyEstimate, Ran, Setting, Visit

FEW_VISITS, FEW_RUNS = 3, 5
"""With fewer undisturbed visits of a model, or runs in one of them, there is a warning."""
ASK_FOR_THROTTLING = "On the device: sudo usermod -aG video $USER, and log in again; then vcgencmd get_throttled works."
OTHER_STATE = 0.01
"""The share by which a latency differs from earlier ones, at least, to be worth a warning."""
LATEST_STATES = 5
"""What a latency is compared with: the device may have been changed before these."""
WRONG_PERCENT = 5.0
"""From which difference of outputs from the processor's on, in percent of their range, there is a warning."""
_SOFTWARE = re.compile(r"swiftshader|llvmpipe|lavapipe|\bCPU\b|software", re.IGNORECASE)
"""What an accelerator calls itself that is none."""
STEADY_CLOCK = 0.95
"""An accelerator's clock after a visit may be so much of its highest."""
OFTEN = 0.3
"""The share of runs in slow stretches from which on there is a warning."""


def other_load(visit: Visit) -> float | None:
    """How many processors others used during a visit; None if the device does not say or the visit was too short."""
    before_s, after_s = visit.before.uptime_s, visit.after.uptime_s
    told_s = sum(visit.warmup_ns + visit.runs_ns) / 1e9
    spent_s = told_s if before_s is None or after_s is None else after_s - before_s
    if visit.before.busy_s is None or visit.after.busy_s is None or visit.own_s is None or spent_s < 0.1:
        return None
    # The kernel counts in hundredths of a second; two of them are no evidence.
    return max(0.0, visit.after.busy_s - visit.before.busy_s - visit.own_s - 0.02) / spent_s


def was_steady(visit: Visit, policy: Policy) -> bool:
    """Whether the warm-up ended because the times were steady, not because it was long enough."""
    spent_ns = sum(visit.warmup_ns)
    if spent_ns < 0.98 * policy.warmup_max_ms * 1e6:
        return True
    window = window_runs(visit.warmup_ns, policy.window_ms * 1e6)
    return len(visit.warmup_ns) < 3 * window or is_steady(visit.warmup_ns, window, policy.tolerance)


def find_warnings(
    visits: Mapping[str, Sequence[Visit]], setting: Setting, policy: Policy
) -> tuple[MeasurementWarning, ...]:
    """What makes these measurements less trustworthy, and what to do about it."""
    every = [visit for of_model in visits.values() for visit in of_model]
    found = [
        _emulated(setting),
        _governor(every),
        _throttling(every),
        _throttling_unknown(every),
        _voltage(every),
        _other_load(every),
        _swapping(every),
        _unsteady(every, policy),
        _often_disturbed(every) if setting.clock is Clock.WALL else None,
        None if setting.clock is Clock.ESTIMATE else _few_runs(visits, policy),
        *(() if setting.engine.accelerator.is_cpu else accelerator_warnings(every, setting)),
    ]
    return tuple(warning for warning in found if warning is not None)


def accelerator_warnings(visits: Sequence[Visit], setting: Setting) -> tuple[MeasurementWarning, ...]:
    """What did not run on the accelerator, or not rightly, or not at its full speed."""
    told = [visit.ran for visit in visits if visit.ran is not None]
    found = [_not_told(told, setting), _partly(told, setting), _software(told, setting), _wrong(told, setting)]
    found.append(_slowed(visits, setting))
    return tuple(warning for warning in found if warning is not None)


def _not_told(told: Sequence[Ran], setting: Setting) -> MeasurementWarning | None:
    if told:
        return None
    return _warning(
        "fallback-unknown",
        f"{setting.engine.runtime} {setting.runtime_version} does not tell whether the model ran on the "
        f"{setting.engine.accelerator}: it may have run on the processor.",
        "Compare with the processor's latency, or use a newer version, which tells.",
    )


def _partly(told: Sequence[Ran], setting: Setting) -> MeasurementWarning | None:
    some = [ran for ran in told if ran.accelerated < ran.operators]
    if not some:
        return None
    least = min(some, key=lambda ran: ran.operators_percent)
    names = ", ".join(dict.fromkeys(name for ran in some for name in ran.left)) or "which ones is not told"
    parts = f", in {least.partitions} parts" if least.partitions and least.partitions > 1 else ""
    return _warning(
        "partly-accelerated",
        f"{least.accelerated} of {least.operators} operators ran on the {setting.engine.accelerator}{parts}; "
        f"left to the processor: {names}.",
        "Replace these operators in the network, or compare with the processor alone: to go back and forth between the "
        "two costs time.",
    )


def _software(told: Sequence[Ran], setting: Setting) -> MeasurementWarning | None:
    named = next((ran.processor for ran in told if ran.processor and _SOFTWARE.search(ran.processor)), None)
    if named is None:
        return None
    return _warning(
        "software-accelerator",
        f"The {setting.engine.accelerator} is a program on the processor: {named}.",
        "Install the driver of the real one; until then these latencies are nobody's.",
    )


def _wrong(told: Sequence[Ran], setting: Setting) -> MeasurementWarning | None:
    worst = max((ran.difference_percent for ran in told if ran.difference_percent is not None), default=0.0)
    if worst <= WRONG_PERCENT:
        return None
    shown = f"{worst:.1f} %" if worst < 1000 else "many times"
    return _warning(
        "wrong-outputs",
        f"Outputs on the {setting.engine.accelerator} differ from the processor's by {shown} of their range.",
        "It may compute in float16, or wrongly: judge the accuracy there before you use it, or take another precision.",
    )


def _slowed(visits: Sequence[Visit], setting: Setting) -> MeasurementWarning | None:
    """Of an accelerator whose clock fell, or whose driver says that it holds it back."""
    kind = setting.engine.accelerator
    states = [state for visit in visits for state in (visit.before.accelerator(kind), visit.after.accelerator(kind))]
    clocks_mhz = [state.frequency_mhz for state in states if state and state.frequency_mhz]
    after = [state.frequency_mhz for state in states[1::2] if state and state.frequency_mhz]
    slow = [mhz for mhz in after if mhz < STEADY_CLOCK * max(clocks_mhz)]
    reasons = sorted({reason for state in states if state for reason in state.held_back})
    if not reasons and len(slow) <= 0.05 * len(visits):
        return None
    fell = f" to {min(slow):.0f} from {max(clocks_mhz):.0f} MHz in {len(slow)} of {len(visits)} visits" if slow else ""
    why = (
        f"its driver says: {', '.join(reasons)}" if reasons else "it was hot, or had too little to do for its governor"
    )
    return _warning(
        "accelerator-slowed",
        f"The {kind}'s clock was lowered{fell} ({why}).",
        "Cool it better, or fix its clock: a Jetson's by sudo jetson_clocks, an NVIDIA card's by sudo nvidia-smi -lgc "
        "and a clock that it can hold, another's by its driver's governor.",
    )


def state_warnings(
    visits: Sequence[Visit], earlier: Sequence[Visit], latency: LatencyEstimate
) -> tuple[MeasurementWarning, ...]:
    """That a device was in other states than usual, within the ``visits`` to one model or against ``earlier`` ones.

    ``latency`` is the median of the ``visits``, whatever else is asked of them: of the earlier ones it is, too.
    """
    found = [_slow_sessions(visits), _other_state(earlier, latency)]
    return tuple(warning for warning in found if warning is not None)


def _slow_sessions(visits: Sequence[Visit]) -> MeasurementWarning | None:
    """Of sessions that were slow from end to end while others were not."""
    sessions: dict[str, list[Visit]] = {}
    for visit in visits:
        sessions.setdefault(visit.session, []).append(visit)
    slow = [some for some in sessions.values() if all((visit.disturbed or "").startswith(SLOW) for visit in some)]
    quick = [visit for visit in visits if visit.disturbed is None]
    if not slow or not quick:
        return None
    usual_ms = _middle_ms([np.median(counting_runs(visit, Statistic.MEDIAN)) for visit in quick])
    slow_ms = _middle_ms([np.median(visit.runs_ns) for some in slow for visit in some])
    return _warning(
        "slow-sessions",
        f"In {len(slow)} of {len(sessions)} processes the model took {slow_ms:.4g} instead of {usual_ms:.4g} ms from "
        "end to end: the device, or the place of a file in its memory, has slower states, which do not count.",
        "Leave room in the budget if a program must keep within it however it was started.",
    )


def _other_state(earlier: Sequence[Visit], latency: LatencyEstimate) -> MeasurementWarning | None:
    """Of a model that was measured before and found otherwise."""
    counting = [visit for visit in earlier if visit.disturbed is None]
    medians = [np.median(counting_runs(visit, Statistic.MEDIAN)) for visit in counting]
    states = states_of(counting, np.log(medians) - np.log(1e6))
    if len(states) < FEW_VISITS:
        return None
    before_ms = float(np.exp(np.median([np.median(np.concatenate(state)) for state in states[-LATEST_STATES:]])))
    if latency.low_ms <= before_ms <= latency.high_ms or abs(latency.value_ms / before_ms - 1) < OTHER_STATE:
        return None
    return _warning(
        "another-state",
        f"Earlier validations of this file found {before_ms:.4g} ms: the device is in another state than it was then.",
        "Validate it again later, and look at what has changed on the device: clocks, heat, other programs, a new "
        "system.",
    )


def _middle_ms(medians_ns: Sequence[np.floating]) -> float:
    return float(np.median(medians_ns)) / 1e6


def _warning(code: str, message: str, remedy: str) -> MeasurementWarning:
    return MeasurementWarning(code=code, message=message, remedy=remedy)


def _emulated(setting: Setting) -> MeasurementWarning | None:
    if setting.clock is Clock.ESTIMATE:
        return _warning(
            "estimated-clock",
            f"{setting.engine.runtime} estimates by a model of the hardware; nothing was run or measured.",
            "Compare variants by it, and measure on the board itself before deciding.",
        )
    if setting.clock is not Clock.ICOUNT:
        return None
    return _warning(
        "emulated-clock",
        f"{setting.device} counts instructions, not time: these are no latencies of a real device.",
        "Use them to compare variants, and measure on the device itself before deciding.",
    )


def _states(visits: Sequence[Visit]) -> list[DeviceState]:
    return [state for visit in visits for state in (visit.before, visit.after)]


def _governor(visits: Sequence[Visit]) -> MeasurementWarning | None:
    slow = {state.governor for state in _states(visits)} & {"powersave", "conservative"}
    # Intel's active driver calls its ordinary, load-following mode powersave.
    frequencies = [state.frequency_mhz for state in _states(visits) if state.frequency_mhz]
    if not slow or (frequencies and max(frequencies) > 1.5 * min(frequencies)):
        return None
    return _warning(
        "governor",
        f"The processor's frequency governor is {slow.pop()}: it keeps the device slow.",
        "On the device: echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _throttling(visits: Sequence[Visit]) -> MeasurementWarning | None:
    flags = {flag for state in _states(visits) for flag in state.throttled if not flag.startswith(THROTTLE_FLAGS[0])}
    if not flags:
        return None
    return _warning(
        "throttling",
        f"The device held its processor back: {', '.join(sorted(flags))}.",
        "Cool it better (heat sink, fan), or let the profile wait: `cool_down_c=55`",
    )


def _throttling_unknown(visits: Sequence[Visit]) -> MeasurementWarning | None:
    reason = next((state.throttling_unknown for state in _states(visits) if state.throttling_unknown), None)
    if reason is None:
        return None
    return _warning(
        "throttling-unknown", f"The device cannot tell whether it was held back: {reason}", ASK_FOR_THROTTLING
    )


def _voltage(visits: Sequence[Visit]) -> MeasurementWarning | None:
    if not any(flag.startswith(THROTTLE_FLAGS[0]) for state in _states(visits) for flag in state.throttled):
        return None
    return _warning(
        "under-voltage",
        "The device's supply voltage was too low, now or since it was started.",
        "Use the power supply and cable made for this board, then restart it.",
    )


def _other_load(visits: Sequence[Visit]) -> MeasurementWarning | None:
    loads = [load for visit in visits if (load := other_load(visit)) is not None]
    busy = sum(load > 0.25 for load in loads)
    if not busy or busy < 0.05 * len(loads):
        return None
    return _warning(
        "other-load",
        f"Other programs used the processor in {busy} of {len(loads)} visits (up to {max(loads):.1f} processors).",
        "Stop what else runs on the device and measure again.",
    )


def _swapping(visits: Sequence[Visit]) -> MeasurementWarning | None:
    pages = [swapped(visit.before, visit.after) for visit in visits]
    in_turn = pairwise(sorted(visits, key=lambda visit: visit.started_s))
    # Between sessions anything may have happened: days, or another start of the device.
    pages += [swapped(a.after, b.before) for a, b in in_turn if a.session and a.session == b.session]
    if not any(count > 100 for count in pages):
        return None
    return _warning(
        "swapping",
        "The device moved memory to its disk while it was measured.",
        "Stop programs that use memory there, or use a device with more of it.",
    )


def _unsteady(visits: Sequence[Visit], policy: Policy) -> MeasurementWarning | None:
    unsteady = sum(not was_steady(visit, policy) for visit in visits)
    if not unsteady or unsteady < 0.1 * len(visits):
        return None
    return _warning(
        "unsteady-warm-up",
        f"In {unsteady} of {len(visits)} visits the warm-up of {policy.warmup_max_ms:g} ms ended unsteadily.",
        "Look for other load on the device, and at its frequency governor.",
    )


def _often_disturbed(visits: Sequence[Visit]) -> MeasurementWarning | None:
    slow = sum(int(np.sum(~undisturbed(visit))) for visit in visits)
    share = slow / max(sum(len(visit.runs_ns) for visit in visits), 1)
    if share < OFTEN:
        return None
    return _warning(
        "often-disturbed",
        f"Something else slowed the device in {share:.0%} of the runs; their times do not count for a median.",
        "Stop what else runs there. If it always shares its processor, mind the latency of all runs that is given too.",
    )


def _few_runs(visits: Mapping[str, Sequence[Visit]], policy: Policy) -> MeasurementWarning | None:
    least = min(policy.rounds, FEW_VISITS)
    counting = {model: [visit for visit in some if visit.disturbed is None] for model, some in visits.items()}
    few = [m for m, some in counting.items() if len(some) < least or any(len(v.runs_ns) < FEW_RUNS for v in some)]
    if not few:
        return None
    return _warning(
        "few-runs",
        f"{len(few)} of {len(visits)} models have fewer than {least} undisturbed visits or {FEW_RUNS} runs in each.",
        "Measure again, for longer: the intervals say how far these can be trusted.",
    )
