"""A file, measured on a device, held against a budget."""

from __future__ import annotations

from typing import Any, ClassVar

from edgewidth.documents import Record
from edgewidth.records.budget import Budget
from edgewidth.records.inputs import ModelInput
from edgewidth.records.measurement import (
    DeviceFacts,
    EnergyEstimate,
    LatencyEstimate,
    MeasurementWarning,
    Ran,
    Setting,
    Visit,
)
from edgewidth.records.provenance import Digest, Facts, Made
from edgewidth.records.upgrades import name_engine, name_visits
from edgewidth.shown import Shown


class SustainedPoint(Record):
    """A few seconds of back-to-back runs."""

    at_s: float
    """When they began, in seconds since the first point began."""
    median_ms: float
    p95_ms: float
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    throttled: tuple[str, ...] = ()


class Sustained(Record):
    """The latency over time under full load."""

    duration_s: float
    points: tuple[SustainedPoint, ...]
    first_ms: float
    """The median of the first tenth of the points."""
    last_ms: float
    """The median of the last tenth of the points."""
    drift_percent: float
    """How far ``last_ms`` is above ``first_ms``."""


def close_to_budget(latency: LatencyEstimate, budget: Budget) -> MeasurementWarning:
    """That a verdict could turn out otherwise next time."""
    return MeasurementWarning(
        code="close-to-budget",
        message=f"The budget of {budget.latency_ms:.4g} ms lies inside the interval of the measurement "
        f"({latency.low_ms:.4g} to {latency.high_ms:.4g} ms): the verdict could turn out otherwise next time.",
        remedy="Measure again on a quieter device, or search with a budget a few percent smaller.",
    )


def over_memory(ran: Ran | None, budget: Budget | None) -> str:
    """By what a compiled file exceeds the budget's limits, to end a sentence; empty where it does not.

    The size of the file is held against the flash that the compiler counts, and activations against its SRAM.
    """
    if budget is None or ran is None or ran.footprint is None:
        return ""
    found = (
        (ran.footprint.sram_bytes, budget.limits.activation_bytes, "SRAM"),
        (ran.footprint.flash_bytes, budget.limits.size_bytes, "flash"),
    )
    return " and ".join(
        f"{used / 1e3:.4g} kB of {what}, more than the {most / 1e3:.4g} kB allowed"
        for used, most, what in found
        if most is not None and used > most
    )


class Regression(Record):
    """How a latency compares with that of an earlier validation, the baseline."""

    file: str
    """Which file the baseline is of."""
    baseline_ms: float
    slower_percent: float
    """By how much the latency is above the baseline's; negative: below."""
    most_percent: float
    """How much slower it may be."""
    within: bool

    @classmethod
    def of(cls, latency: LatencyEstimate, baseline: ValidationReport, most_percent: float) -> Regression:
        """That of a latency against a baseline."""
        before_ms = baseline.estimate.value_ms
        slower = 100 * (latency.value_ms / before_ms - 1)
        return cls(
            file=baseline.file,
            baseline_ms=before_ms,
            slower_percent=slower,
            most_percent=most_percent,
            within=slower <= most_percent,
        )

    @property
    def limit_ms(self) -> float:
        """The latency above which a file has regressed."""
        return self.baseline_ms * (1 + self.most_percent / 100)


def close_to_baseline(latency: LatencyEstimate, regression: Regression) -> MeasurementWarning:
    """That it could turn out otherwise next time whether a file has regressed."""
    return MeasurementWarning(
        code="close-to-baseline",
        message=f"The {regression.limit_ms:.4g} ms that the baseline allows lie inside the interval of the measurement "
        f"({latency.low_ms:.4g} to {latency.high_ms:.4g} ms): the verdict could turn out otherwise next time.",
        remedy="Measure again on a quieter device, or allow a regression a few percent larger.",
    )


class MicroRun(Record):
    """What TensorFlow Lite Micro, the interpreter for microcontrollers, makes of a file; nothing of it is timed."""

    arena_bytes: int | None = None
    """The memory that its tensors and its own structures take; None: it does not run."""
    difference_percent: float | None = None
    """The largest difference of an output from TFLite's here, in percent of the range that TFLite's has."""
    reason: str | None = None
    """Why it does not run; None: it does."""

    def __str__(self) -> str:
        if self.arena_bytes is None or self.difference_percent is None:
            return f"TensorFlow Lite Micro does not run it: {self.reason}"
        return (
            f"TensorFlow Lite Micro runs it in an arena of {self.arena_bytes / 1e3:.4g} kB; outputs within "
            f"{self.difference_percent:.2g} % of TFLite's"
        )


class ValidationReport(Shown, Made):
    """The measured latency of one artifact, raw values included."""

    schema_name: ClassVar[str] = "edgewidth/validation"
    schema_version: ClassVar[int] = 2

    file: str
    sha256: str
    size_bytes: int
    inputs: tuple[ModelInput, ...] = ()
    """What it was given; empty in older reports, which do not tell."""
    signature: str | None = None
    """Which of its signatures was measured, or of its graphs where these have none, if there are several."""
    setting: Setting
    facts: DeviceFacts
    estimate: LatencyEstimate
    budget: Budget | None
    within_budget: bool | None
    visits: tuple[Visit, ...]
    warnings: tuple[MeasurementWarning, ...]
    load_ms: float | None = None
    """How long the runtime took to load the file, compiling it where the engine does; the longest of its loads. None:
    it was not told."""
    first_ms: float | None = None
    """How long the first inference after loading took; the longest of them."""
    ran: Ran | None = None
    """How much of it ran on the accelerator; None: the engine is the processor, or does not tell."""
    micro: MicroRun | None = None
    """What the interpreter for microcontrollers makes of it; None: the device is none, or it is not installed."""
    energy: tuple[EnergyEstimate, ...] = ()
    """The energy of an inference by each power sensor, the best estimate first; empty where there are none."""
    sustained: Sustained | None = None
    """How the latency drifted under load, where that was asked for. It is no part of the verdict."""
    regression: Regression | None = None
    """How it compares with an earlier validation, where that was asked for."""

    @property
    def passed(self) -> bool:
        """Whether nothing that was asked is answered with no."""
        return self.within_budget is not False and (self.regression is None or self.regression.within)

    @property
    def made_of(self) -> Facts:
        """What it was made of, the measured file among it."""
        return super().made_of | {self.file: Digest(self.sha256)}

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_visits(content, content["estimate"])
        name_engine(content["setting"], content["setting"]["runtime_version"])
        return content
