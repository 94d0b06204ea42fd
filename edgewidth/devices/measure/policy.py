"""The numbers that a measurement is made by: how long, how often, how patiently.

The same for every device and transport. A visit warms the model up until its times are steady and then runs it
back to back; a model is visited in several rounds, in an order shuffled anew in each, so that what drifts with
time meets all models alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from edgewidth.documents import Record
from edgewidth.records.measurement import Clock

if TYPE_CHECKING:
    from edgewidth.records.measurement import Visit

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]


class Policy(Record):
    """The numbers of the measurement policy; the defaults are for boards and phones."""

    rounds: Annotated[int, Field(ge=1, le=1000)] = 4
    """Undisturbed visits that every model gets. Visits differ more than the runs of one: many short ones say more
    than few long ones (standard deviation from 50 ms of runs 19 %, from 150 ms 17 %, on a very busy machine)."""
    sessions: Annotated[int, Field(ge=1, le=100)] = 1
    """Runners that share the rounds, one after the other. Each is a new process that finds its files anew, so that no
    lucky or unlucky place in memory fills a whole measurement."""
    visit_ms: Milliseconds = 100.0
    """How long the runs of a visit take together, if that makes enough of them."""
    min_runs: Annotated[int, Field(ge=1)] = 10
    """At least so many runs are made, unless that takes too long."""
    visit_max_ms: Milliseconds = 5000.0
    """The runs of a visit never take longer together, however few there are."""
    max_runs: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    """No more runs are made in a visit."""
    warmup_min_ms: Milliseconds = 20.0
    warmup_max_ms: Milliseconds = 1500.0
    window_ms: Milliseconds = 10.0
    """A model is warm when its runs in the last window of this length were no faster than in the two windows before."""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.03
    """The share by which the runs of the last window may still be faster."""
    probe_loops: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """The loops of a fixed calculation that tells how fast the processor is: about 0.1 ms, made four times before and
    after each visit."""
    load_limit_s: Annotated[float, Field(gt=0)] = 120.0
    """How long a model may take to load."""
    compile_limit_s: Annotated[float, Field(ge=0)] = 600.0
    """How long it may take beyond that where the engine compiles it; TensorRT tries many ways for minutes."""
    cool_limit_s: Annotated[float, Field(ge=0)] = 180.0
    """How long to wait for a device to cool down before each visit."""
    remeasure: Annotated[float, Field(ge=0, le=10)] = 0.5
    """At most this share of a model's visits is made again because the device was disturbed; three times as many
    while not one was undisturbed, since nothing is known of such a model."""
    silence_s: Annotated[float, Field(gt=0)] = 60.0
    """After so long without a sign of life the runner is taken for dead."""
    patience_s: Annotated[float, Field(ge=0)] = 120.0
    """How long a device is waited for that does not answer, or that another program measures: longer than a small board
    takes to restart."""
    retry_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    """The wait before it is tried again; before each further try it is twice as long, within limits."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 5
    """How often a runner that died is started again."""
    seed: int = 0
    """The seed of the order in which models are visited."""

    def plan(self, *, compiling: bool = False) -> dict[str, Any]:
        """What the runner must know of this for one visit; ``compiling``: the engine may compile what it loads."""
        return {
            "visit_ns": round(self.visit_ms * 1e6),
            "visit_max_ns": round(max(self.visit_ms, self.visit_max_ms) * 1e6),
            "min_runs": min(self.min_runs, self.max_runs),
            "max_runs": self.max_runs,
            "warmup_min_ns": round(self.warmup_min_ms * 1e6),
            "warmup_max_ns": round(max(self.warmup_min_ms, self.warmup_max_ms) * 1e6),
            "window_ns": round(self.window_ms * 1e6),
            "tolerance": self.tolerance,
            "probe_loops": self.probe_loops,
            "limit_s": self.visit_limit_s + (self.compile_limit_s if compiling else 0.0),
        }

    @property
    def beat_s(self) -> float:
        """How often the runner gives a sign of life."""
        return min(2.0, self.silence_s / 5)

    @property
    def visit_limit_s(self) -> float:
        """After this a visit is given up: the model hangs. Generous: one run may be longer than a whole visit."""
        return self.load_limit_s + 10 * (self.warmup_max_ms + self.visit_max_ms) / 1e3

    def parts(self) -> list[Policy]:
        """The policies of the sessions, in order: each has the rounds of those before it and its own share."""
        ends = [math.ceil(self.rounds * (1 + part) / self.sessions) for part in range(self.sessions)]
        return [self.model_copy(update={"rounds": rounds}) for rounds in dict.fromkeys(ends)]

    def missing(self, visits: Sequence[Visit]) -> int:
        """How many visits to a model are still to be made, after these; a device that is never quiet has its end."""
        undisturbed = sum(visit.disturbed is None for visit in visits)
        most = math.ceil(self.rounds * (1 + (self.remeasure if undisturbed else 3 * self.remeasure)))
        return max(0, min(self.rounds - undisturbed, most - len(visits)))

    def order(self, models: Sequence[str], number: int) -> list[str]:
        """The models in the order of a round."""
        rng = np.random.default_rng((self.seed, number))
        return [models[int(i)] for i in rng.permutation(len(models))]


def default_policy(clock: Clock) -> Policy:
    """The policy for a clock: one that counts instructions repeats itself, and few runs say everything."""
    if clock is Clock.ESTIMATE:
        return Policy(rounds=1, min_runs=1, max_runs=1, probe_loops=0)
    if clock is Clock.ICOUNT:
        return Policy(rounds=2, visit_ms=5, min_runs=7, warmup_min_ms=2, warmup_max_ms=200, window_ms=2, probe_loops=0)
    return Policy()


def visit_name(model: str, number: int) -> str:
    """What a visit is called: its number among the model's visits, and the model."""
    return f"{number}@{model}"
