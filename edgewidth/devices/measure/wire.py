"""What the runner writes, read with distrust: the device may print anything, for as long as it likes."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from edgewidth.devices.on_device.runner import PROTOCOL
from edgewidth.documents import Record, first_problem
from edgewidth.errors import DeviceError
from edgewidth.records.measurement import DeviceFacts, DeviceState, Footprint

MAX_LINE_BYTES = 4_000_000
"""A visit with the most runs that a policy allows, and as many before them, has about half of this."""
_REMEDY = "Something else writes to the device's output, or its disk is damaged: run edgewidth devices check."

Times = Annotated[tuple[Annotated[int, Field(gt=0, lt=10**15)], ...], Field(min_length=1, max_length=1_000_000)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)]
VisitName = Annotated[str, Field(pattern=r"^[0-9]{1,9}@")]
"""As ``policy.visit_name`` makes it."""


class Hello(Record):
    """A runner began."""

    t: Literal["hello"]
    at_s: Seconds
    version: int
    pid: int
    facts: DeviceFacts


class Busy(Record):
    """The runner waits for another one, the process ``holder``, that measures on the device."""

    t: Literal["busy"]
    at_s: Seconds
    holder: Annotated[str, Field(max_length=20)]


class Begin(Record):
    """A visit began."""

    t: Literal["begin"]
    at_s: Seconds
    id: VisitName


class Placed(Record):
    """Where the operators of a model run, as ``on_device.placement`` says it, and how far its outputs are off."""

    operators: Count
    accelerated: Count
    partitions: Count | None = None
    left: tuple[Annotated[str, Field(max_length=200)], ...] = ()
    left_at: tuple[int | Annotated[str, Field(max_length=1000)], ...] | None = None
    processor: Annotated[str, Field(max_length=200)] | None = None
    difference_percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    footprint: Footprint | None = None


class Visit(Record):
    """A visit ended well. ``started_s`` is Unix time on the host's clock."""

    t: Literal["visit"]
    at_s: Seconds
    id: VisitName
    started_s: Seconds
    cooled_s: Seconds
    warmup_ns: Times
    runs_ns: Times
    before: DeviceState
    after: DeviceState
    own_s: Seconds
    load_ns: Annotated[int, Field(ge=0, lt=10**15)] | None = None
    placed: Placed | None = None


class Failed(Record):
    """A visit gave no times."""

    t: Literal["failed"]
    at_s: Seconds
    id: VisitName
    reason: str
    final: bool = False
    """Whether another try would end alike."""
    of_engine: bool = False
    """Whether the engine cannot do what is asked, whatever the model."""


class Beat(Record):
    """The runner lives."""

    t: Literal["beat"]
    at_s: Seconds


class End(Record):
    """The runner ended. ``status``: stopped, idle, busy, disk full, no runtime or failed; ``code`` its exit status."""

    t: Literal["end"]
    at_s: Seconds
    status: str
    detail: str
    code: int


Message = Hello | Busy | Begin | Visit | Failed | Beat | End
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="t")])


class Reader:
    """Cuts a growing file into messages.

    ``offset`` is behind the last whole line that was understood: read on from there, also after a restart.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def messages(self, part: bytes) -> list[Message]:
        """The messages in what the file holds from ``offset`` on.

        Raises:
            DeviceError: It is not what a runner of this version writes.
        """
        end = part.rfind(b"\n") + 1
        if end == 0 and len(part) >= MAX_LINE_BYTES:
            raise DeviceError(f"The device printed {len(part)} bytes without an end of line.", remedy=_REMEDY)
        messages = [parse(line) for line in part[:end].splitlines() if line.strip()]
        self.offset += end
        return messages


def parse(line: bytes) -> Message:
    """One line of the runner's output.

    Raises:
        DeviceError: It is not a message, or one of another version.
    """
    try:
        content = json.loads(line)
        version = content.get("version", PROTOCOL)
    except (ValueError, AttributeError, RecursionError) as error:
        raise DeviceError(f"The device printed {line[:60]!r}, which no runner writes.", remedy=_REMEDY) from error
    if version != PROTOCOL:
        raise DeviceError(
            f"The runner on the device speaks version {str(version)[:20]}; this edgewidth speaks {PROTOCOL}.",
            remedy="Let the edgewidth that started it finish, or use the same version.",
        )
    try:
        return _MESSAGE.validate_json(line, strict=True)
    except ValidationError as error:
        raise DeviceError(
            f"The device printed what no runner writes: {first_problem(error)[:300]}.", remedy=_REMEDY
        ) from error
