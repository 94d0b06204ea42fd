"""What each method chooses at a budget: by the table, then measured, and chosen again until latencies are equal.

The loop of measuring and choosing again is the same for all methods.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from edgewidth.documents import Document, Record
from edgewidth.graph.space import ChannelConfig
from edgewidth.latency.predict import Predictor
from edgewidth.records.measurement import LatencyEstimate
from edgewidth.search.baselines import lagrangian as hull_vertex
from edgewidth.search.baselines import slimming
from edgewidth.search.exact import solve
from edgewidth.stages.search import Question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from protocol import Final

    from edgewidth.graph.space import SearchSpace
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.table import LatencyTable
    from edgewidth.search.factors import Array, Indices
    from edgewidth.stages.bench import Bench

Propose = Callable[[float], ChannelConfig]
"""A method: the configuration that it chooses at a latency in milliseconds."""
CLOSE = 0.99
"""Latencies are equal from here to the whole budget …"""
TRIES = 10
"""… which a method may aim for so often."""
AIM = 0.998
"""Aimed again, at slightly less than what would just fit."""


class Try(Record):
    """One choice of a method, and what it measured."""

    aimed_ms: float
    config: ChannelConfig
    measured: LatencyEstimate


class Choice(Document):
    """What a method chose at a budget, and how it came to it."""

    schema_name: ClassVar[str] = "edgewidth/equal-latency-choice"

    method: str
    budget: float
    budget_ms: float
    supernet: int
    config: ChannelConfig
    measured: LatencyEstimate
    tries: tuple[Try, ...]

    @classmethod
    def given(cls, final: Final, config: ChannelConfig, measured: LatencyEstimate) -> Choice:
        """The choice of a configuration whose measured latency is the budget."""
        return cls(
            method=final.method,
            budget=final.budget,
            budget_ms=measured.value_ms,
            supernet=final.supernet,
            config=config,
            measured=measured,
            tries=(),
        )

    @property
    def used(self) -> float:
        """Which share of the budget it takes."""
        return self.measured.value_ms / self.budget_ms


def settled(bench: Bench, final: Final, budget_ms: float, propose: Propose) -> Choice:
    """Choose, measure, and aim again until the measured latency is within one percent below the budget.

    Where it never is, the slowest that was within the budget; the result says what it used.

    Raises:
        RuntimeError: Nothing that was proposed is within the budget.
    """
    aimed_ms, tries = budget_ms, list[Try]()
    for _ in range(TRIES):
        config = propose(aimed_ms)
        bench.measure([config])
        tries.append(Try(aimed_ms=aimed_ms, config=config, measured=bench.estimate(config)))
        used = tries[-1].measured.value_ms / budget_ms
        if CLOSE <= used <= 1:
            break
        aimed_ms *= AIM / used
    within = [one for one in tries if one.measured.value_ms <= budget_ms]
    if not within:
        raise RuntimeError(f"{final.choice}: none of {TRIES} choices is within {budget_ms:g} ms")
    best = max(within, key=lambda one: one.measured.value_ms)
    return Choice(
        method=final.method,
        budget=final.budget,
        budget_ms=budget_ms,
        supernet=final.supernet,
        config=best.config,
        measured=best.measured,
        tries=tuple(tries),
    )


def exact(table: LatencyTable, losses: UnaryLosses) -> Propose:
    """The exact search."""
    question = Question(table, losses)

    def propose(latency_ms: float) -> ChannelConfig:
        solution = solve(question.problem, question.curve.sum_ms(latency_ms))
        return table.space.config(solution.best.assignment)

    return propose


def lagrangian(table: LatencyTable, losses: UnaryLosses) -> Propose:
    """The published method's search of the same losses and table: some multiplier of the latency."""
    question = Question(table, losses)

    def propose(latency_ms: float) -> ChannelConfig:
        point = hull_vertex(question.problem, question.curve.sum_ms(latency_ms))
        return table.space.smallest if point is None else table.space.config(point.assignment)

    return propose


def published(table: LatencyTable, evaluations: Slimmed) -> Propose:
    """Greedy slimming on the supernet itself, as AutoSlim does it (Yu and Huang 2019, arXiv 1903.11728).

    Step by step one layer is narrowed, the one that loses least validation loss, whatever it saves; what the last step
    leaves of the budget is left.
    """
    way = _Way(table, evaluations)

    def propose(latency_ms: float) -> ChannelConfig:
        # That every step saved as much is what takes latency out of the choice.
        down = slimming(way.sizes, way.losses, lambda assignments: assignments.sum(axis=1).astype(float))
        return table.space.config(way.first_within(down, latency_ms).tolist())

    return propose


def greedy(table: LatencyTable, evaluations: Slimmed) -> Propose:
    """Greedy slimming on the supernet itself: step by step down by what loses least validation loss a millisecond.

    What the last step left of the budget is filled by the same rule backwards.
    """
    way = _Way(table, evaluations)

    def propose(latency_ms: float) -> ChannelConfig:
        found = way.first_within(slimming(way.sizes, way.losses, way.latencies), latency_ms)
        return table.space.config(_filled(found, way.sizes, way.losses, way.latencies, latency_ms).tolist())

    return propose


class _Way:
    """What slimming knows of assignments: their predicted latencies, and what they lose on the supernet."""

    def __init__(self, table: LatencyTable, evaluations: Slimmed) -> None:
        self._space, self._predictor, self._evaluations = table.space, Predictor(table), evaluations
        self.sizes = tuple(len(variable.choices) for variable in table.space.variables)

    def latencies(self, assignments: Indices) -> Array:
        """In milliseconds, (count, variables) → (count,)."""
        return self._predictor.predict([self._space.config(row) for row in assignments]).mean_ms

    def losses(self, assignments: Indices) -> Array:
        """In nats, (count, variables) → (count,)."""
        return np.array([self._evaluations.loss(self._space.config(row)) for row in assignments])

    def first_within(self, down: Iterator[Indices], latency_ms: float) -> Indices:
        """The first on the way down that is within a latency; the smallest of all where none is."""
        for current in down:
            if self.latencies(current[np.newaxis])[0] <= latency_ms:
                return current
        return np.zeros(len(self.sizes), dtype=np.intp)


def _filled(
    current: Indices,
    sizes: tuple[int, ...],
    losses: Callable[[Indices], Array],
    latencies: Callable[[Indices], Array],
    latency_ms: float,
) -> Indices:
    """Step by step up, by what gains most loss a millisecond, while anything fits."""
    for _ in range(sum(sizes)):
        larger = current + np.eye(len(current), dtype=np.intp)[current < np.array(sizes) - 1]
        larger = larger[latencies(larger) <= latency_ms]
        if not len(larger):
            break
        around = np.vstack([current, larger])
        gained, slower = losses(around), latencies(around)
        current = larger[np.argmax((gained[0] - gained[1:]) / np.maximum(slower[1:] - slower[0], 1e-9))]
    return current


class Slimmed:
    """The losses of configurations of one supernet, each computed once and kept in a file."""

    def __init__(self, path: Path, space: SearchSpace, evaluate: Callable[[ChannelConfig], float]) -> None:
        self._path, self._evaluate = path, evaluate
        self._known: dict[ChannelConfig, float] = {}
        self.seconds = 0.0
        """Processor seconds that all of them took."""
        content = path.read_bytes() if path.exists() else b""
        # A line that was cut off by a kill has no end, and is written again.
        lines, end, cut_off = content.rpartition(b"\n")
        self._cut_off_at = len(lines + end) if cut_off else None
        for line in lines.splitlines():
            entry = json.loads(line)
            config = ChannelConfig.parse(entry["config"])
            space.check(config)
            # Two processes at once may both have computed it.
            self.seconds += entry["seconds"] if config not in self._known else 0.0
            self._known[config] = entry["loss"]

    def __len__(self) -> int:
        return len(self._known)

    def loss(self, config: ChannelConfig) -> float:
        """The mean loss of a configuration on the search images."""
        if config not in self._known:
            began = time.process_time()
            self._known[config] = self._evaluate(config)
            seconds = time.process_time() - began
            self.seconds += seconds
            entry = {"config": str(config), "loss": self._known[config], "seconds": seconds}
            with self._path.open("ab") as stream:
                if self._cut_off_at is not None:
                    # Glued to what was cut off, the line could not be read.
                    stream.truncate(self._cut_off_at)
                    self._cut_off_at = None
                stream.write(json.dumps(entry).encode() + b"\n")
        return self._known[config]
