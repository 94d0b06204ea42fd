"""How many fewer errors one method makes than another, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import t

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from protocol import Final

COMPARISONS = (
    ("corrected", "greedy"),
    ("corrected", "published"),
    ("corrected", "uniform"),
    ("corrected", "exact"),
    ("exact", "greedy"),
    ("exact", "lagrangian"),
    ("narrowed", "exact"),
    ("narrowed-corrected", "corrected"),
    ("greedy", "uniform"),
)


class Row(NamedTuple):
    """One final network."""

    final: Final
    config: str
    latency_ms: float
    used: float
    int8: float
    float32: float
    """Top-1 in percent."""
    loss: float
    """The int8 file's on the test images, in nats."""

    @property
    def errors(self) -> float:
        """Test images in percent that the int8 file gets wrong."""
        return 100 - self.int8


class Mean(NamedTuple):
    """A mean with the half-width of its 95 % interval (Student's t); infinite where there is none."""

    value: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Of independent values."""
        return cls.each([values])[0]

    @classmethod
    def each(cls, groups: Collection[Sequence[float]]) -> list[Mean]:
        """The mean of every group, where values vary alike within each: a few of each tell little of their own."""
        half = _half_width(groups)
        return [cls(float(np.mean(values)), half / np.sqrt(len(values))) for values in groups]

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}}" + (f" ± {self.half:{spec}}" if np.isfinite(self.half) else "")

    def __str__(self) -> str:
        return f"{self:.2f}"


def _half_width(groups: Collection[Sequence[float]]) -> float:
    """Of the 95 % interval of one value, by how values vary within all groups; infinite where none has two."""
    spare = sum(len(values) - 1 for values in groups)
    if not spare:
        return float("inf")
    squares = sum(float(np.sum((np.asarray(values) - np.mean(values)) ** 2)) for values in groups)
    return float(t.ppf(0.975, spare) * np.sqrt(squares / spare))


class Better(NamedTuple):
    """How much better one method is than another, for every choice: a budget and a supernet, by whose widths both are.

    The choice is the unit: more final trainings of the same choices narrow no interval, more choices do. Those of one
    supernet at several budgets are not quite independent.
    """

    fewer: dict[tuple[float, int], float]
    """Fewer errors, in percent of the other's, the mean over the seeds of final trainings."""
    less: dict[tuple[float, int], float]
    """How much less it loses, in nats."""

    @property
    def errors(self) -> Mean:
        """Fewer errors, over all choices."""
        return Mean.of(list(self.fewer.values()))

    @property
    def losses(self) -> Mean:
        """Less loss, over all choices."""
        return Mean.of(list(self.less.values()))

    def at(self, budget: float) -> Mean:
        """Fewer errors at one budget."""
        return Mean.of([value for (of, _), value in self.fewer.items() if of == budget])


def better(rows: Sequence[Row], method: str, other: str) -> Better:
    """How much better one method is than another with the same budget, supernet and seed."""
    known = {tuple(row.final): row for row in rows}
    fewer, less = defaultdict[tuple[float, int], list[float]](list), defaultdict[tuple[float, int], list[float]](list)
    for row in rows:
        rival = known.get(tuple(row.final._replace(method=other)))
        if row.final.method == method and rival is not None:
            choice = row.final.budget, row.final.supernet
            fewer[choice].append(100 * (1 - row.errors / rival.errors))
            less[choice].append(rival.loss - row.loss)
    means = [{choice: float(np.mean(values)) for choice, values in found.items()} for found in (fewer, less)]
    return Better(*means)
