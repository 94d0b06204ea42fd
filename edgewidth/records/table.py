"""The latency table: what one device needs for any configuration of one search space."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from edgewidth.documents import Record
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.measurement import DeviceFacts, MeasurementWarning, Setting, Statistic
from edgewidth.records.provenance import Made
from edgewidth.records.upgrades import name_engine
from edgewidth.shown import Shown


class ConfigVisits(Record):
    """One configuration's measured latencies, one per visit; what a table is fitted to or held against."""

    config: ChannelConfig
    values_ms: Annotated[tuple[float, ...], Field(min_length=1)]
    """The statistic of each undisturbed visit."""
    started_s: tuple[float, ...]
    """When each visit began (Unix time), for the drift of the device."""

    def joined(self, other: ConfigVisits) -> ConfigVisits:
        """All visits of both, in the order of time."""
        mine = zip(self.started_s, self.values_ms, strict=True)
        pairs = sorted([*mine, *zip(other.started_s, other.values_ms, strict=True)])
        return ConfigVisits(
            config=self.config, values_ms=tuple(v for _, v in pairs), started_s=tuple(s for s, _ in pairs)
        )

    def without(self, moments: Collection[float]) -> ConfigVisits | None:
        """Less the visits that began at these moments; None: nothing is left."""
        kept = [(s, v) for s, v in zip(self.started_s, self.values_ms, strict=True) if s not in moments]
        if not kept:
            return None
        return ConfigVisits(
            config=self.config, values_ms=tuple(v for _, v in kept), started_s=tuple(s for s, _ in kept)
        )


class TableEntry(Record):
    """What one layer adds, for every choice of its widths, in milliseconds.

    A layer that reads several segments has an entry for each of them: ``layer``, ``layer:2``, ``layer:3`` …

    ``values_ms[i][j]``: the i-th choice of the first variable of ``scope`` and the j-th of the second; one row
    where the scope has one variable, one value where it has none.
    """

    layer: str
    scope: Annotated[tuple[str, ...], Field(max_length=2)]
    values_ms: tuple[tuple[float, ...], ...]


class TableQuality(Record):
    """How good the table is, on configurations that were measured and never fitted."""

    held_out: int
    fitted: int
    mape_percent: float
    worst_percent: float
    within5_percent: float
    within10_percent: float
    coverage_percent: float
    """How many held-out measurements lie in their own 95 % intervals."""
    noise_percent: float
    """The noise floor: the standard error of the held-out measurements themselves."""
    verdict: str
    """One sentence: good enough or not, and what to do."""


class HeldOut(Record):
    """One held-out configuration: predicted with its 95 % interval, and measured."""

    visits: ConfigVisits
    predicted_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float

    @property
    def config(self) -> ChannelConfig:
        """Which configuration."""
        return self.visits.config


class LatencyTable(Shown, Made):
    """Predicts the latency of any configuration, with an interval; see ``edgewidth.latency``."""

    schema_name: ClassVar[str] = "edgewidth/latency-table"
    schema_version: ClassVar[int] = 3

    space: SearchSpace
    setting: Setting
    statistic: Statistic
    entries: tuple[TableEntry, ...]
    """Their sum over all layers, plus ``offset_ms``, is on the ``curve`` the prediction."""
    offset_ms: float
    curve: Annotated[tuple[tuple[float, float], ...], Field(min_length=1)] = ((1.0, 1.0),)
    """Sums and the latencies there, both rising in milliseconds, straight between on logarithmic scales: how far the
    layers of a network together take longer, or less long, than one by one. One point: their ratio everywhere."""
    fitted: tuple[ConfigVisits, ...]
    """What it was fitted to: from these the intervals are computed again."""
    held_out: tuple[HeldOut, ...]
    quality: TableQuality
    hyperparameters: dict[str, float]
    """What the fit learned: prior strengths, noise and drift; see ``edgewidth.latency``."""
    surprises: tuple[float, ...] = ()
    """How well the others predict each of ``fitted``: the squared error in units of its variance. Intervals are as wide
    as these ask for. Empty: a table without a prior that does not tell them, in which they are computed again."""
    facts: DeviceFacts | None = None
    """What the device said it is when it was last measured for this table."""
    warnings: tuple[MeasurementWarning, ...] = ()
    """What made its measurements less trustworthy."""

    @model_validator(mode="after")
    def _fits_its_space(self) -> Self:
        """Entries have a value for every choice of their widths, and visits a moment each."""
        choices = {variable.name: len(variable.choices) for variable in self.space.variables}
        for entry in self.entries:
            sizes = [choices.get(name, 0) for name in entry.scope]
            rows, columns = [1, 1, *sizes][-2:]
            if [len(row) for row in entry.values_ms] != [columns] * rows or not columns:
                raise ValueError(f"the entry of {entry.layer} does not have {rows} × {columns} values")
        for visits in (*self.fitted, *(held.visits for held in self.held_out)):
            if len(visits.values_ms) != len(visits.started_s):
                raise ValueError(f"the visits of {visits.config} have not as many moments as values")
        if self.surprises and len(self.surprises) != len(self.fitted):
            raise ValueError(f"there are {len(self.surprises)} surprises of {len(self.fitted)} fitted configurations")
        return self

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_engine(content["setting"], content["setting"]["runtime_version"])
        return content

    def visits(self) -> dict[ChannelConfig, ConfigVisits]:
        """Everything measured that it stands on, held-out configurations included."""
        return {v.config: v for v in (*self.fitted, *(held.visits for held in self.held_out))}
