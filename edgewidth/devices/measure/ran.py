"""How much of a model ran on its accelerator, from what the runtime told and what the model's operators cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.errors import DeviceError
from edgewidth.records.measurement import OperatorWork, Ran

if TYPE_CHECKING:
    from edgewidth.devices.measure.wire import Placed
    from edgewidth.records.measurement import Setting


def how_it_ran(placed: Placed, work: Sequence[OperatorWork]) -> Ran:
    """What a measurement says of it. ``work`` has the model's operators in order; empty: it is not known."""
    left = None if placed.left_at is None else _left(placed.left_at, work)
    partitions = placed.partitions
    if partitions is None and left is not None and work:
        partitions = sum(1 for place in range(len(work)) if place not in left and (place == 0 or place - 1 in left))
    return Ran(
        operators=placed.operators,
        accelerated=min(placed.accelerated, placed.operators),
        partitions=partitions,
        left=placed.left,
        processor=placed.processor,
        macs_percent=_macs_percent(placed, left, work),
        difference_percent=placed.difference_percent,
        footprint=placed.footprint,
    )


def check_ran(ran: Ran, setting: Setting) -> None:
    """Whether anything ran where it should.

    Raises:
        DeviceError: Nothing did: the runtime ran all of it on the processor.
    """
    if ran.accelerated:
        return
    names = f" ({', '.join(ran.left[:8])})" if ran.left else ""
    raise DeviceError(
        f"Nothing ran on the {setting.engine.accelerator} of {setting.device}: {setting.engine.runtime} left all "
        f"{ran.operators} operators to the processor{names}.",
        remedy=f"Look for what the accelerator needs there (its driver, its library, another precision): edgewidth "
        f"devices check {setting.device} tells what is there. `allow_fallback` measures the processor in its place.",
    )


def _left(at: Sequence[int | str], work: Sequence[OperatorWork]) -> set[int] | None:
    """The places of the operators that were left; None: not just one has such a name, or the runtime fused some."""
    names = Counter(one.name for one in work)
    places = {one.name: place for place, one in enumerate(work) if one.name and names[one.name] == 1}
    found = [one if isinstance(one, int) else places.get(one) for one in at]
    known = {place for place in found if place is not None and place < len(work)}
    return known if len(known) == len(at) else None


def _macs_percent(placed: Placed, left: set[int] | None, work: Sequence[OperatorWork]) -> float | None:
    if placed.operators and placed.accelerated in {0, placed.operators}:
        return 100.0 if placed.accelerated else 0.0
    total = sum(one.macs for one in work)
    if left is None or not total:
        return None
    return 100 * (1 - sum(work[place].macs for place in left) / total)
