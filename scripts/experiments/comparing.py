#!/usr/bin/env python3
"""How many fewer errors one method makes than another, and how sure that is.

    comparing.py docs/results/first/cifar-10.json

prints it of the final networks whose numbers a page was made of.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
from protocol import Final
from pydantic import ConfigDict, PlainSerializer
from scipy.stats import t

from edgewidth.documents import Document, Record
from edgewidth.errors import EdgewidthError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

COMPARISONS = (
    ("corrected", "greedy"),
    ("corrected", "published"),
    ("corrected", "uniform"),
    ("corrected", "cut"),
    ("corrected", "exact"),
    ("exact", "greedy"),
    ("exact", "published"),
    ("exact", "lagrangian"),
    ("exact", "uniform"),
    ("narrowed", "exact"),
    ("narrowed-corrected", "corrected"),
    ("greedy", "uniform"),
    ("uniform", "cut"),
)


class Row(Record):
    """One final network."""

    final: Annotated[Final, PlainSerializer(Final._asdict)]
    config: str
    latency_ms: float
    used: float
    int8: float
    float32: float
    """Top-1 in percent."""
    loss: float = float("nan")
    """The int8 file's on the test images, in nats; not a number: it was not noted."""

    @property
    def errors(self) -> float:
        """Test images in percent that the int8 file gets wrong."""
        return 100 - self.int8


class Networks(Document):
    """The final networks in an experiment's file of results, whatever else it holds."""

    model_config = ConfigDict(extra="ignore")
    schema_name: ClassVar[str] = "edgewidth/equal-latency-results"

    networks: tuple[Row, ...]


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
        how = spec or ".2f"
        return f"{self.value:{how}}" + (f" ± {self.half:{how}}" if np.isfinite(self.half) else "")

    def __str__(self) -> str:
        return f"{self}"


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


def comparison_lines(rows: Sequence[Row]) -> list[str]:
    """The table of all comparisons that these networks allow."""
    budgets = sorted({row.final.budget for row in rows})
    lines = [
        "How many fewer errors the int8 files make, in percent, and how much less they lose, in nats, with 95 %",
        "intervals over choices (one budget and supernet each):",
        "",
        f"| | fewer errors (%) | {' | '.join(f'at {budget:.0%}' for budget in budgets)} | less loss | choices |",
        f"|---|---|---|---|{'---|' * len(budgets)}",
    ]
    for method, other in COMPARISONS:
        found = better(rows, method, other)
        if found.fewer:
            at = [found.at(budget) if any(of == budget for of, _ in found.fewer) else "" for budget in budgets]
            loss = f"{found.losses:.4f}" if np.isfinite(found.losses.value) else ""
            each = " | ".join(map(str, at))
            lines.append(f"| {method} over {other} | {found.errors} | {each} | {loss} | {len(found.fewer)} |")
    worst = max(row.float32 - row.int8 for row in rows)
    return [*lines, "", f"The int8 file of the worst network is {worst:.2f} points below its float32 file."]


def main() -> int:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="an experiment's file of results")
    path = parser.parse_args().results
    try:
        print("\n".join(comparison_lines(Networks.read(path).networks)))
    except EdgewidthError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
