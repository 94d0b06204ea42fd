"""A file, measured on a device, held against a budget."""

from __future__ import annotations

from typing import ClassVar

from edgewidth.records.base import Document
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import Block, DeviceFacts, LatencyEstimate, MeasurementWarning, Setting


class ValidationReport(Document):
    """The measured latency of one artifact, raw values included."""

    schema_name: ClassVar[str] = "edgewidth/validation"

    file: str
    sha256: str
    size_bytes: int
    setting: Setting
    facts: DeviceFacts
    estimate: LatencyEstimate
    budget: Budget | None
    within_budget: bool | None
    blocks: tuple[Block, ...]
    warnings: tuple[MeasurementWarning, ...]
