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

from edgewidth.devices.runner import is_steady, middle, window_runs
from edgewidth.devices.vitals import THROTTLE_FLAGS
from edgewidth.records.base import Record
from edgewidth.records.measurement import Block, Clock, DeviceState, MeasurementWarning, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgewidth.devices.profiles import DeviceProfile

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]


class Policy(Record):
    """The numbers of the measurement policy; the defaults are for boards and phones."""

    rounds: Annotated[int, Field(ge=1, le=1000)] = 4
    """Undisturbed visits that every model gets. Visits differ more than the runs of one: many short ones say more
    than few long ones (standard deviation from 50 ms of runs 19 %, from 150 ms 17 %, on a very busy machine)."""
    block_ms: Milliseconds = 100.0
    """How long the runs of a visit take together …"""
    min_runs: Annotated[int, Field(ge=1)] = 10
    """… unless these are not enough runs …"""
    block_max_ms: Milliseconds = 5000.0
    """… which may at most take so long."""
    max_runs: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    warmup_min_ms: Milliseconds = 20.0
    warmup_max_ms: Milliseconds = 1500.0
    window_ms: Milliseconds = 10.0
    """Steady: the last such window of warm-up runs was not faster than the two before it …"""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """… by more than this share."""
    load_limit_s: Annotated[float, Field(gt=0)] = 120.0
    """How long a model may take to load."""
    cool_limit_s: Annotated[float, Field(ge=0)] = 180.0
    """How long to wait for a device to cool down before each visit."""
    remeasure: Annotated[float, Field(ge=0, le=10)] = 0.5
    """At most this share of all visits is made again because the device was disturbed."""
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
            "block_ns": round(self.block_ms * 1e6),
            "block_max_ns": round(max(self.block_ms, self.block_max_ms) * 1e6),
            "min_runs": min(self.min_runs, self.max_runs),
            "max_runs": self.max_runs,
            "warmup_min_ns": round(self.warmup_min_ms * 1e6),
            "warmup_max_ns": round(max(self.warmup_min_ms, self.warmup_max_ms) * 1e6),
            "window_ns": round(self.window_ms * 1e6),
            "tolerance": self.tolerance,
            "limit_s": self.visit_limit_s,
        }

    @property
    def beat_s(self) -> float:
        """How often the runner gives a sign of life."""
        return min(2.0, self.silence_s / 5)

    @property
    def visit_limit_s(self) -> float:
        """After this a visit is given up: the model hangs. Generous: one run may be longer than a whole block."""
        return self.load_limit_s + 10 * (self.warmup_max_ms + self.block_max_ms) / 1e3

    def missing(self, blocks: Sequence[Block]) -> int:
        """How many visits to a model are still to be made, after these; a device that is never quiet has its end."""
        undisturbed = sum(block.disturbed is None for block in blocks)
        most = math.ceil(self.rounds * (1 + self.remeasure))
        return max(0, min(self.rounds - undisturbed, most - len(blocks)))

    def order(self, models: Sequence[str], number: int) -> list[str]:
        """The models in the order of a round."""
        rng = np.random.default_rng((self.seed, number))
        return [models[int(i)] for i in rng.permutation(len(models))]


def default_policy(clock: Clock) -> Policy:
    """The policy for a clock: one that counts instructions repeats itself, and few runs say everything."""
    if clock is Clock.ICOUNT:
        return Policy(rounds=2, block_ms=5, min_runs=7, warmup_min_ms=2, warmup_max_ms=200, window_ms=2)
    return Policy()


SLOW = {Clock.WALL: (0.02, 0.06), Clock.ICOUNT: (0.003, 0.006)}
"""A visit slower than its model's best by less than the first share is never slow; by more than the second, always."""
_SLOW = "slow"
"""How a judgement begins that comes from comparing visits, and may change when there are more of them."""


def disturbance(block: Block, profile: DeviceProfile) -> str | None:
    """What disturbed the device during a block, by what it says of itself; None: nothing did."""
    before, after = block.before, block.after
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


def judge(blocks: Mapping[str, Sequence[Block]], setting: Setting) -> list[Block]:
    """All blocks, judged against each other anew: ``disturbed`` says in which visits the device was slow, and why.

    What disturbs a device makes it slower, seldom faster. So a model's fastest visit is nearest to the
    undisturbed device, and those within the usual spread of it agree with it; the others do not count. The usual
    spread is learned from all models: the lower quartile of what visits lie above their model's best is about
    half a standard deviation (for three normal ones), and ``SLOW`` bounds what three of them may be.
    """
    open_to_it = [
        [block for block in some if block.disturbed is None or block.disturbed.startswith(_SLOW)]
        for some in blocks.values()
    ]
    above = [(block, share) for some in open_to_it for block, share in zip(some, _above_best(some), strict=True)]
    others = [share for _, share in above if share > 0]
    least, most = SLOW[setting.clock]
    limit = min(max(least, 6 * float(np.quantile(others, 0.25))), most) if others else most
    usual = float(np.median([_lost_share(block, setting) for block, _ in above])) if above else 0.0
    judged = []
    for block, share in above:
        reason, lost = None, _lost_share(block, setting)
        if share > limit:
            reason = f"{_SLOW}: {share:.1%} above its best visit"
        elif lost > usual + 0.15:
            reason = f"{_SLOW}: other programs took {lost:.0%} of it"
        judged.append(block.model_copy(update={"disturbed": reason}))
    known = {id(block) for some in open_to_it for block in some}
    return judged + [block for some in blocks.values() for block in some if id(block) not in known]


def _above_best(blocks: Sequence[Block]) -> list[float]:
    """By how much, as a logarithm, each visit's median is above the least of them."""
    logs = [math.log(middle(block.runs_ns)) for block in blocks]
    return [value - min(logs) for value in logs]


def _lost_share(block: Block, setting: Setting) -> float:
    """The share of a one-thread block's time in which it had no processor; 0 if the device cannot say."""
    if block.own_s is None or setting.threads > 1 or setting.clock is not Clock.WALL:
        return 0.0
    return max(0.0, 1 - block.own_s * 1e9 / sum(block.warmup_ns + block.runs_ns))


def visit_name(model: str, number: int) -> str:
    """What a visit is called: its number among the model's visits, and the model."""
    return f"{number}@{model}"


def other_load(block: Block) -> float | None:
    """How many processors others used during a block; None if the device does not say or the block was too short."""
    before_s, after_s = block.before.uptime_s, block.after.uptime_s
    told_s = sum(block.warmup_ns + block.runs_ns) / 1e9
    spent_s = told_s if before_s is None or after_s is None else after_s - before_s
    if block.before.busy_s is None or block.after.busy_s is None or block.own_s is None or spent_s < 0.1:
        return None
    # The kernel counts in hundredths of a second; two of them are no evidence.
    return max(0.0, block.after.busy_s - block.before.busy_s - block.own_s - 0.02) / spent_s


def _difference(before: int | None, after: int | None) -> int:
    return after - before if before is not None and after is not None else 0


def was_steady(block: Block, policy: Policy) -> bool:
    """Whether the warm-up ended because the times were steady, not because it was long enough."""
    spent_ns = sum(block.warmup_ns)
    if spent_ns < 0.98 * policy.warmup_max_ms * 1e6:
        return True
    window = window_runs(block.warmup_ns, policy.window_ms * 1e6)
    return len(block.warmup_ns) < 3 * window or is_steady(block.warmup_ns, window, policy.tolerance)


def find_warnings(
    blocks: Mapping[str, Sequence[Block]], setting: Setting, policy: Policy
) -> tuple[MeasurementWarning, ...]:
    """What makes these measurements less trustworthy, and what to do about it."""
    every = [block for of_model in blocks.values() for block in of_model]
    found = [
        _emulated(setting),
        _governor(every),
        _throttling(every),
        _voltage(every),
        _other_load(every),
        _swapping(every),
        _unsteady(every, policy),
        _few_runs(blocks, policy),
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


def _states(blocks: Sequence[Block]) -> list[DeviceState]:
    return [state for block in blocks for state in (block.before, block.after)]


def _governor(blocks: Sequence[Block]) -> MeasurementWarning | None:
    slow = {state.governor for state in _states(blocks)} & {"powersave", "conservative"}
    # Intel's active driver calls its ordinary, load-following mode powersave.
    frequencies = [state.frequency_mhz for state in _states(blocks) if state.frequency_mhz]
    if not slow or (frequencies and max(frequencies) > 1.5 * min(frequencies)):
        return None
    return _warning(
        "governor",
        f"The processor's frequency governor is {slow.pop()}: it keeps the device slow.",
        "On the device: echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _throttling(blocks: Sequence[Block]) -> MeasurementWarning | None:
    flags = {flag for state in _states(blocks) for flag in state.throttled if not flag.startswith(THROTTLE_FLAGS[0])}
    if not flags:
        return None
    return _warning(
        "throttling",
        f"The device held its processor back: {', '.join(sorted(flags))}.",
        "Cool it better (heat sink, fan), or let the profile wait: --set cool_down_c=55",
    )


def _voltage(blocks: Sequence[Block]) -> MeasurementWarning | None:
    if not any(flag.startswith(THROTTLE_FLAGS[0]) for state in _states(blocks) for flag in state.throttled):
        return None
    return _warning(
        "under-voltage",
        "The device's supply voltage was too low, now or since it was started.",
        "Use the power supply and cable made for this board, then restart it.",
    )


def _other_load(blocks: Sequence[Block]) -> MeasurementWarning | None:
    loads = [load for block in blocks if (load := other_load(block)) is not None]
    busy = sum(load > 0.25 for load in loads)
    if not busy or busy < 0.05 * len(loads):
        return None
    return _warning(
        "other-load",
        f"Other programs used the processor in {busy} of {len(loads)} visits (up to {max(loads):.1f} processors).",
        "Stop what else runs on the device and measure again.",
    )


def _swapping(blocks: Sequence[Block]) -> MeasurementWarning | None:
    pages = [_difference(a.after.swapped_pages, b.before.swapped_pages) for a, b in pairwise(blocks)]
    pages += [_difference(block.before.swapped_pages, block.after.swapped_pages) for block in blocks]
    if not any(count > 100 for count in pages):
        return None
    return _warning(
        "swapping",
        "The device moved memory to its disk while it was measured.",
        "Stop programs that use memory there, or use a device with more of it.",
    )


def _unsteady(blocks: Sequence[Block], policy: Policy) -> MeasurementWarning | None:
    unsteady = sum(not was_steady(block, policy) for block in blocks)
    if not unsteady or unsteady < 0.1 * len(blocks):
        return None
    return _warning(
        "unsteady-warm-up",
        f"In {unsteady} of {len(blocks)} visits the warm-up of {policy.warmup_max_ms:g} ms ended unsteadily.",
        "Look for other load on the device, and at its frequency governor.",
    )


def _few_runs(blocks: Mapping[str, Sequence[Block]], policy: Policy) -> MeasurementWarning | None:
    counting = {model: [block for block in some if block.disturbed is None] for model, some in blocks.items()}
    few = [m for m, some in counting.items() if len(some) < policy.rounds or any(len(b.runs_ns) < 5 for b in some)]
    if not few:
        return None
    return _warning(
        "few-runs",
        f"{len(few)} of {len(blocks)} models have fewer than {policy.rounds} undisturbed visits or 5 runs in each.",
        "Measure again, for longer: the intervals say how far these can be trusted.",
    )
