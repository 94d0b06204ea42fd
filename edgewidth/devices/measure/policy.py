"""What counts as a measurement: how long, how often, what does not count, and what to be warned of.

The same for every device and transport. A visit warms the model up until its times are steady and then runs it
back to back; a model is visited in several rounds, in an order shuffled anew in each, so that what drifts with
time meets all models alike.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from edgewidth.devices.measure.stretches import (
    LEAST_SHARE,
    SLOW_PROBE,
    own_jitter,
    slow_above_ns,
    slowness,
    undisturbed,
    usual_probe_ns,
)
from edgewidth.devices.on_device.runner import is_steady, window_runs
from edgewidth.devices.on_device.vitals import THROTTLE_FLAGS
from edgewidth.documents import Record
from edgewidth.records.measurement import Clock, DeviceState, MeasurementWarning, Setting, Visit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgewidth.devices.profiles import DeviceProfile

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]


class Policy(Record):
    """The numbers of the measurement policy; the defaults are for boards and phones."""

    rounds: Annotated[int, Field(ge=1, le=1000)] = 4
    """Undisturbed visits that every model gets. Visits differ more than the runs of one: many short ones say more
    than few long ones (standard deviation from 50 ms of runs 19 %, from 150 ms 17 %, on a very busy machine)."""
    visit_ms: Milliseconds = 100.0
    """How long the runs of a visit take together …"""
    min_runs: Annotated[int, Field(ge=1)] = 10
    """… unless these are not enough runs …"""
    visit_max_ms: Milliseconds = 5000.0
    """… which may at most take so long."""
    max_runs: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    warmup_min_ms: Milliseconds = 20.0
    warmup_max_ms: Milliseconds = 1500.0
    window_ms: Milliseconds = 10.0
    """Steady: the last such window of warm-up runs was not faster than the two before it …"""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """… by more than this share."""
    probe_loops: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """Of a fixed calculation of 0.1 ms, four times before and after each visit: how fast the processor is."""
    load_limit_s: Annotated[float, Field(gt=0)] = 120.0
    """How long a model may take to load."""
    cool_limit_s: Annotated[float, Field(ge=0)] = 180.0
    """How long to wait for a device to cool down before each visit."""
    remeasure: Annotated[float, Field(ge=0, le=10)] = 0.5
    """At most this share of a model's visits is made again because the device was disturbed; three times as many
    while not one was undisturbed, since nothing is known of such a model."""
    silence_s: Annotated[float, Field(gt=0)] = 60.0
    """After so long without a sign of life the runner is taken for dead."""
    retries: Annotated[int, Field(ge=0, le=100)] = 8
    """How often a call over a broken link is tried again …"""
    retry_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    """… first after so long, then after twice as long each time, up to 30 s."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 5
    """How often a runner that died is started again."""
    seed: int = 0
    """Of the order of the visits."""

    def plan(self) -> dict[str, Any]:
        """What the runner must know of this for one visit."""
        return {
            "visit_ns": round(self.visit_ms * 1e6),
            "visit_max_ns": round(max(self.visit_ms, self.visit_max_ms) * 1e6),
            "min_runs": min(self.min_runs, self.max_runs),
            "max_runs": self.max_runs,
            "warmup_min_ns": round(self.warmup_min_ms * 1e6),
            "warmup_max_ns": round(max(self.warmup_min_ms, self.warmup_max_ms) * 1e6),
            "window_ns": round(self.window_ms * 1e6),
            "tolerance": self.tolerance,
            "probe_loops": self.probe_loops,
            "limit_s": self.visit_limit_s,
        }

    @property
    def beat_s(self) -> float:
        """How often the runner gives a sign of life."""
        return min(2.0, self.silence_s / 5)

    @property
    def visit_limit_s(self) -> float:
        """After this a visit is given up: the model hangs. Generous: one run may be longer than a whole visit."""
        return self.load_limit_s + 10 * (self.warmup_max_ms + self.visit_max_ms) / 1e3

    def missing(self, visits: Sequence[Visit]) -> int:
        """How many visits to a model are still to be made, after these; a device that is never quiet has its end."""
        undisturbed = sum(visit.disturbed is None for visit in visits)
        most = math.ceil(self.rounds * (1 + (self.remeasure if undisturbed else 3 * self.remeasure)))
        return max(0, min(self.rounds - undisturbed, most - len(visits)))

    def order(self, models: Sequence[str], number: int) -> list[str]:
        """The models in the order of a round."""
        rng = np.random.default_rng((self.seed, number))
        return [models[int(i)] for i in rng.permutation(len(models))]


def default_policy(clock: Clock) -> Policy:
    """The policy for a clock: one that counts instructions repeats itself, and few runs say everything."""
    if clock is Clock.ICOUNT:
        return Policy(rounds=2, visit_ms=5, min_runs=7, warmup_min_ms=2, warmup_max_ms=200, window_ms=2, probe_loops=0)
    return Policy()


SLOW = "slow"
"""How a judgement begins that comes from comparing visits, and may change when there are more of them."""

FEW_VISITS, FEW_RUNS = 3, 5
"""With fewer undisturbed visits of a model, or runs in one of them, there is a warning."""
OFTEN = 0.3
"""The share of runs in slow stretches from which on there is a warning."""


def disturbance(visit: Visit, profile: DeviceProfile) -> str | None:
    """What disturbed the device during a visit, by what it says of itself; None: nothing did."""
    before, after = visit.before, visit.after
    raised = [flag for flag in after.throttled if flag not in before.throttled]
    now = [flag for flag in after.throttled if flag in THROTTLE_FLAGS]
    if raised or now:
        return f"raised {', '.join(now or raised)}"
    if profile.max_temperature_c is not None and (after.temperature_c or 0.0) > profile.max_temperature_c:
        return f"{after.temperature_c:.0f} °C, above the profile's {profile.max_temperature_c:.0f} °C"
    # Only a fall: before the warm-up a governor may not have raised the clock yet.
    if before.frequency_mhz and after.frequency_mhz and after.frequency_mhz < 0.95 * before.frequency_mhz:
        return f"frequency fell from {before.frequency_mhz:.0f} to {after.frequency_mhz:.0f} MHz"
    if _difference(before.swapped_pages, after.swapped_pages) > 100:
        return "the device was swapping"
    return None


def judge(visits: Mapping[str, Sequence[Visit]], setting: Setting, known: Iterable[Visit] = ()) -> list[Visit]:
    """All visits, judged against each other anew: which stretches count, and which visits do not at all.

    ``slow_above_ns`` says from which median on a stretch is disturbed; a visit without enough other ones is
    ``disturbed`` as a whole, and so is one before and after which the processor itself was slow: it may be slow
    from end to end. What the device itself said was wrong stays, and nobody is compared with it.

    Args:
        visits: By model.
        setting: In which all of them were measured.
        known: Further visits of the same setting, by which the processor's usual speed is known better.
    """
    usual_ns = usual_probe_ns([*known, *(visit for some in visits.values() for visit in some)])
    open_to_it = {
        model: comparable
        for model, some in visits.items()
        if (comparable := [v for v in some if v.disturbed is None or v.disturbed.startswith(SLOW)])
    }
    jitter = own_jitter(open_to_it.values())
    judged = []
    for some in open_to_it.values():
        slower = [slowness(visit, usual_ns) for visit in some]
        trusted = [visit for visit, times in zip(some, slower, strict=True) if times < SLOW_PROBE]
        limit_ns = slow_above_ns(trusted or some, setting.clock, jitter)
        for visit, times in zip(some, slower, strict=True):
            limited = visit.model_copy(update={"slow_above_ns": limit_ns})
            share = float(undisturbed(limited).mean())
            reason = f"{SLOW}: {1 - share:.0%} of its runs" if share < LEAST_SHARE else None
            if times >= SLOW_PROBE:
                reason = f"{SLOW}: a fixed calculation took {times:.1f} times as long as usual"
            judged.append(limited.model_copy(update={"disturbed": reason}))
    compared = {id(visit) for some in open_to_it.values() for visit in some}
    return judged + [visit for some in visits.values() for visit in some if id(visit) not in compared]


def visit_name(model: str, number: int) -> str:
    """What a visit is called: its number among the model's visits, and the model."""
    return f"{number}@{model}"


def other_load(visit: Visit) -> float | None:
    """How many processors others used during a visit; None if the device does not say or the visit was too short."""
    before_s, after_s = visit.before.uptime_s, visit.after.uptime_s
    told_s = sum(visit.warmup_ns + visit.runs_ns) / 1e9
    spent_s = told_s if before_s is None or after_s is None else after_s - before_s
    if visit.before.busy_s is None or visit.after.busy_s is None or visit.own_s is None or spent_s < 0.1:
        return None
    # The kernel counts in hundredths of a second; two of them are no evidence.
    return max(0.0, visit.after.busy_s - visit.before.busy_s - visit.own_s - 0.02) / spent_s


def _difference(before: int | None, after: int | None) -> int:
    return after - before if before is not None and after is not None else 0


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
        _voltage(every),
        _other_load(every),
        _swapping(every),
        _unsteady(every, policy),
        _often_disturbed(every),
        _few_runs(visits, policy),
    ]
    return tuple(warning for warning in found if warning is not None)


def _warning(code: str, message: str, remedy: str) -> MeasurementWarning:
    return MeasurementWarning(code=code, message=message, remedy=remedy)


def _emulated(setting: Setting) -> MeasurementWarning | None:
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
        "Cool it better (heat sink, fan), or let the profile wait: --set cool_down_c=55",
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
    pages = [_difference(a.after.swapped_pages, b.before.swapped_pages) for a, b in pairwise(visits)]
    pages += [_difference(visit.before.swapped_pages, visit.after.swapped_pages) for visit in visits]
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
