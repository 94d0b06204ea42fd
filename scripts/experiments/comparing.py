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
    ("exact", "greedy"),
    ("exact", "lagrangian"),
    ("narrowed", "exact"),
    ("exact", "uniform"),
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
        return cls.of_groups([values])

    @classmethod
    def of_groups(cls, groups: Collection[Sequence[float]]) -> Mean:
        """The mean of the groups' means, where values vary alike within each and independently.

        The groups are what they are: how these vary among each other is not in the interval.
        """
        half = _half_width(groups) * np.sqrt(sum(1 / len(values) for values in groups)) / len(groups)
        return cls(float(np.mean([np.mean(values) for values in groups])), float(half))

    @classmethod
    def each(cls, groups: Collection[Sequence[float]]) -> list[Mean]:
        """The mean of every group, where values vary alike within each: a few of each tell little of their own."""
        half = _half_width(groups)
        return [cls(float(np.mean(values)), half / np.sqrt(len(values))) for values in groups]

    def __str__(self) -> str:
        return f"{self.value:.2f}" + (f" ± {self.half:.2f}" if np.isfinite(self.half) else "")


def _half_width(groups: Collection[Sequence[float]]) -> float:
    """Of the 95 % interval of one value, by how values vary within all groups; infinite where none has two."""
    spare = sum(len(values) - 1 for values in groups)
    if not spare:
        return float("inf")
    squares = sum(float(np.sum((np.asarray(values) - np.mean(values)) ** 2)) for values in groups)
    return float(t.ppf(0.975, spare) * np.sqrt(squares / spare))


class Fewer(NamedTuple):
    """How many fewer errors, in percent: of every choice, and for each seed of the final trainings."""

    choices: dict[tuple[float, int], list[float]]

    @property
    def pairs(self) -> int:
        """Of final networks, those of several supernets against one uniform network as one."""
        return sum(len(values) for values in self.choices.values())

    @property
    def mean(self) -> Mean:
        """With the interval that more final trainings of the same choices would narrow."""
        return Mean.of_groups(self.choices.values())

    @property
    def over_choices(self) -> Mean:
        """With the interval of choices that were independent; those of one supernet are not quite."""
        return Mean.of([float(np.mean(values)) for values in self.choices.values()])


def fewer_errors(rows: Sequence[Row], method: str, other: str) -> Fewer:
    """By how many percent fewer errors one method has than another, with the same budget, supernet and seed.

    The uniform network of a budget has no supernet: the networks of all supernets are held against it together, so
    that what is called independent does not share it.
    """
    errors = {tuple(row.final): row.errors for row in rows}
    found: dict[tuple[float, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        final = row.final
        supernet = 0 if other == "uniform" else final.supernet
        rival = errors.get(tuple(final._replace(method=other, supernet=supernet)))
        if final.method == method and rival is not None:
            found[final.budget, supernet][final.seed].append(100 * (1 - row.errors / rival))
    return Fewer({choice: [float(np.mean(v)) for v in seeds.values()] for choice, seeds in found.items()})
