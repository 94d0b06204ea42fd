"""How latency departs from the sum of the table's entries: by a smooth, rising function of that sum.

Layers share caches and memory, so that a network which outgrows these is slower than its layers add up to. Since
the latency still rises with the sum, a budget in milliseconds is a bound on the sum, and a search over sums stays
exact. Where a device is additive the learned departure vanishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from edgewidth.latency.terms import Floats
    from edgewidth.records.table import LatencyTable

_LENGTH = 1.0
"""Correlation length of the departure, in natural logarithms of the sum."""
_SPACING = 0.25
"""The distance of the points where the departure is known, in correlation lengths."""
_KEPT_VARIANCE = 1e-6


class Departure(NamedTuple):
    """A Gaussian process over log sums as columns: its values are ``at(log sums) @ weights``, zero on average."""

    log_sums: Floats
    """(points,) from the least to the largest sum there can be; beyond them it goes on as at the ends."""
    columns: Floats
    """(points, rank)"""

    @classmethod
    def between(cls, least: float, most: float) -> Departure:
        """For sums between two values."""
        points = max(2, 1 + int(np.ceil(np.log(most / least) / (_LENGTH * _SPACING))))
        log_sums = np.linspace(np.log(least), np.log(most), points)
        covariance = np.exp(-0.5 * ((log_sums[:, None] - log_sums) / _LENGTH) ** 2)
        values, vectors = np.linalg.eigh(covariance)
        kept = values > _KEPT_VARIANCE * values[-1]
        root = vectors[:, kept] * np.sqrt(values[kept])
        return cls(log_sums, root - root.mean(axis=0))

    def at(self, log_sums: Floats) -> Floats:
        """The columns at some log sums, linear between the points: (n,) → (n, rank)."""
        place = np.interp(log_sums, self.log_sums, np.arange(len(self.log_sums), dtype=float))
        left = np.minimum(place.astype(int), len(self.log_sums) - 2)
        share = (place - left)[:, None]
        columns: Floats = (1 - share) * self.columns[left] + share * self.columns[left + 1]
        return columns


class Curve(NamedTuple):
    """Latency over the sum of the entries, linear between points on logarithmic scales. Both (points,), rising."""

    log_sums: Floats
    log_ms: Floats

    @classmethod
    def of(cls, table: LatencyTable) -> Curve:
        """The curve of a table."""
        sums, latencies = np.log(np.array(table.curve)).T
        return cls(sums, latencies)

    def points(self) -> tuple[tuple[float, float], ...]:
        """As a table keeps it."""
        return tuple(zip(np.exp(self.log_sums).tolist(), np.exp(self.log_ms).tolist(), strict=True))

    @property
    def steepest(self) -> float:
        """The most milliseconds of latency that one of the sum can make."""
        slopes = np.diff(self.log_ms) / np.diff(self.log_sums)
        ratios = np.exp(self.log_ms - self.log_sums)
        ends = np.maximum(ratios[1:], ratios[:-1])
        return float(np.max(slopes * ends, initial=ratios.max()))

    def scaled(self, factor: float) -> Curve:
        """The curve of a device on which everything takes ``factor`` times as long."""
        return Curve(self.log_sums + np.log(factor), self.log_ms + np.log(factor))

    def departure(self, log_sums: Floats) -> Floats:
        """How far latencies are from sums, in logarithms of both: the same shape."""
        departure: Floats = np.interp(log_sums, self.log_sums, self.log_ms - self.log_sums)
        return departure

    def latency_ms(self, sums_ms: Floats | float) -> Floats:
        """The latencies of configurations whose entries sum to these: the same shape."""
        logs = np.log(sums_ms)
        latencies: Floats = np.exp(logs + self.departure(logs))
        return latencies

    def sum_ms(self, latency_ms: float) -> float:
        """The sum at which a latency is reached."""
        log_ms = np.log(latency_ms)
        return float(np.exp(log_ms - np.interp(log_ms, self.log_ms, self.log_ms - self.log_sums)))
