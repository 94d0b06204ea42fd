"""Several finished runs side by side: other budgets, devices, engines, or days."""

from __future__ import annotations

from typing import ClassVar

from edgewidth.documents import Document, Record
from edgewidth.records.measurement import Statistic


class ComparedRun(Record):
    """What one run came to; None where its folder does not have it yet."""

    name: str
    """The folder, as it was given."""
    device: str | None
    engine: str | None
    """Runtime, accelerator and launcher, with the runtime's version."""
    precision: str | None
    told: str
    """``measured``, or ``estimated`` where a compiler tells the latency."""
    budget_ms: float | None
    statistic: Statistic | None
    latency_ms: float | None
    """The emitted file's."""
    low_ms: float | None
    high_ms: float | None
    verdict: str
    accuracy_percent: float | None
    """The emitted file's, by its own runtime, on the test images."""
    float32_percent: float | None
    """That of the float32 file of the same format."""
    size_bytes: int | None
    macs: float | None
    parameters: float | None
    widths: dict[str, int]
    """The chosen width of every width variable."""


class ComparedRuns(Document):
    """What ``edgewidth report DIR DIR`` prints with ``--json``."""

    schema_name: ClassVar[str] = "edgewidth/compared-runs"
    schema_version: ClassVar[int] = 1

    runs: tuple[ComparedRun, ...]
