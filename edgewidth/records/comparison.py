"""The same networks by every engine, precision and thread count of a device."""

from __future__ import annotations

from typing import Any, ClassVar

from edgewidth.documents import Record
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.measurement import DeviceFacts, Engine, LatencyEstimate, MeasurementWarning, Precision
from edgewidth.records.provenance import Made
from edgewidth.records.upgrades import name_engine, name_visits


class Way(Record):
    """One way to execute a network on the device."""

    engine: Engine
    precision: Precision
    threads: int

    def __str__(self) -> str:
        return f"{self.engine} {self.precision} {self.threads} thread{'s' if self.threads > 1 else ''}"


class Compared(Record):
    """One way to execute the networks, and how long they took."""

    way: Way
    runtime_version: str
    latencies: tuple[LatencyEstimate, ...]
    """The latencies of the comparison's networks, in their order; empty where it failed."""
    failure: str | None = None


class Comparison(Made):
    """The same networks in every way that a device offers: the fastest on the first network first, what failed last."""

    schema_name: ClassVar[str] = "edgewidth/comparison"
    schema_version: ClassVar[int] = 2

    device: str
    facts: DeviceFacts
    space: SearchSpace
    configs: tuple[ChannelConfig, ...]
    ways: tuple[Compared, ...]
    warnings: tuple[MeasurementWarning, ...] = ()

    @property
    def fastest(self) -> Compared | None:
        """The way that is fastest on the first network; None if every way failed."""
        return next((one for one in self.ways if one.failure is None), None)

    @property
    def fastest_of_engines(self) -> tuple[Compared, ...]:
        """The way that is fastest on the first network of every engine that works, the fastest of all first."""
        found: dict[Engine, Compared] = {}
        for one in self.ways:
            if one.failure is None:
                found.setdefault(one.way.engine, one)
        return tuple(found.values())

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        for one in content["ways"]:
            name_engine(one["way"], one["runtime_version"])
            name_visits(*one["latencies"])
        return content
