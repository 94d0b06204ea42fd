"""Which visits count: what disturbed a device, by what it says of itself and by how its visits differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgewidth.devices.measure.stretches import (
    LEAST_SHARE,
    SLOW_PROBE,
    own_jitter,
    slow_above_ns,
    slowness,
    undisturbed,
    usual_probe_ns,
)
from edgewidth.devices.on_device.vitals import THROTTLE_FLAGS

if TYPE_CHECKING:
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.records.measurement import DeviceState, Setting, Visit

SLOW = "slow"
"""How a reason begins that comes from comparing visits, and may change when there are more of them."""


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
    if swapped(before, after) > 100:
        return "the device was swapping"
    return None


def mark_disturbed(visits: Mapping[str, Sequence[Visit]], setting: Setting, known: Iterable[Visit] = ()) -> list[Visit]:
    """All visits, held against each other anew: which stretches count, and which visits do not at all.

    ``slow_above_ns`` says from which median on a stretch is disturbed; a visit without enough other ones is
    ``disturbed`` as a whole, and so is one before and after which the processor itself was slow: it may be slow
    from end to end. What the device itself said was wrong stays, and nobody is compared with it.

    By further ``known`` visits of the same setting the processor's usual speed is known better.
    """
    usual_ns = usual_probe_ns([*known, *(visit for some in visits.values() for visit in some)])
    open_to_it = {
        model: comparable
        for model, some in visits.items()
        if (comparable := [v for v in some if v.disturbed is None or v.disturbed.startswith(SLOW)])
    }
    jitter = own_jitter(open_to_it.values())
    marked = []
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
            marked.append(limited.model_copy(update={"disturbed": reason}))
    compared = {id(visit) for some in open_to_it.values() for visit in some}
    return marked + [visit for some in visits.values() for visit in some if id(visit) not in compared]


def swapped(before: DeviceState, after: DeviceState) -> int:
    """How many pages were swapped between two states; 0 if the device does not say."""
    if before.swapped_pages is None or after.swapped_pages is None:
        return 0
    return after.swapped_pages - before.swapped_pages
