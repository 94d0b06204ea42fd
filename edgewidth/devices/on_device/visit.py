"""One visit of the runner: load a model, warm it up until steady, run it back to back.

Python 3.9 and later.
"""

from __future__ import annotations

import gc
import hashlib
import os
import time

from edgewidth.devices.on_device.loaded import Asked, difference_percent
from edgewidth.devices.on_device.placement import captured_log
from edgewidth.devices.on_device.runtimes import load
from edgewidth.devices.on_device.sensors import KINDS, read_accelerators, read_rails
from edgewidth.devices.on_device.vitals import read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from edgewidth.devices.on_device.loaded import Loaded

    Json = dict[str, Any]


class VisitError(Exception):
    """A visit that gave no times, and why.

    ``final``: another try would end alike. ``of_engine``: the engine cannot do what is asked, whatever the model.
    """

    def __init__(self, reason: str, *, final: bool = False, of_engine: bool = False) -> None:
        super().__init__(reason)
        self.final, self.of_engine = final, of_engine


def check_whole(path: Path, sha256: str) -> None:
    """Hold a model file against its digest.

    Raises:
        VisitError: It is missing or not what the host sent.
    """
    if not path.exists():
        raise VisitError("the model is not there")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise VisitError("the model did not arrive whole")


def middle(values: Sequence[int]) -> float:
    """The median, without a library."""
    ordered, half = sorted(values), len(values) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def window_runs(times_ns: Sequence[int], window_ns: float) -> int:
    """How many runs a window has, judged by the latest ones: the first are slow."""
    return max(2, int(window_ns / max(middle(times_ns[-5:]), 1)))


def is_steady(times_ns: Sequence[int], window: int, tolerance: float) -> bool:
    """Whether runs have stopped getting faster.

    The median of the last window of runs is not below those of the two before it by more than ``tolerance``, a
    share. Slower ones are no reason to go on: warming up makes a model faster, and what makes it slower is noise.
    """
    if len(times_ns) < 3 * window:
        return False
    recent = times_ns[-3 * window :]
    medians = [middle(recent[i * window : (i + 1) * window]) for i in range(3)]
    return medians[2] >= (1 - tolerance) * min(medians[:2])


def warm_up(run: Callable[[], object], plan: Json) -> list[int]:
    """Run until steady, at least ``warmup_min_ns`` and at most ``warmup_max_ns``; all times in order."""
    now, times, window, judged = time.perf_counter_ns, list[int](), 2, 0
    begin = now()
    for _ in range(plan["max_runs"]):
        start = now()
        run()
        end = now()
        times.append(end - start)
        spent = end - begin
        if spent >= plan["warmup_max_ns"]:
            break
        if len(times) - judged >= window:  # once a window: judging every run would cost more than a short run
            judged, window = len(times), window_runs(times, plan["window_ns"])
            if spent >= plan["warmup_min_ns"] and is_steady(times, window, plan["tolerance"]):
                break
    return times


def timed_runs(run: Callable[[], object], plan: Json) -> list[int]:
    """Back-to-back runs for ``visit_ns``, within ``min_runs`` … ``max_runs`` and, above all, ``visit_max_ns``."""
    now, times = time.perf_counter_ns, list[int]()
    begin = now()
    while len(times) < plan["max_runs"]:
        start = now()
        run()
        end = now()
        times.append(end - start)
        if end - begin >= (plan["visit_ns"] if len(times) >= plan["min_runs"] else plan["visit_max_ns"]):
            break
    return times


def probe_ns(loops: int) -> int | None:
    """The least of four times of a fixed calculation: how fast the processor is just now; None for no loops."""
    times = []
    for _ in range(4 if loops else 0):
        start, total = time.perf_counter_ns(), 0
        for number in range(loops):
            total += number * number
        times.append(time.perf_counter_ns() - start)
    return min(times, default=None)


class Model:
    """A model in this process: loaded when it is visited first, and kept for later visits."""

    def __init__(self, module: Any, job: Json, path: str) -> None:
        self._module, self._job, self._path = module, job, path
        self._loaded: Loaded | None = None

    def visit(self, plan: Json) -> Json:
        """One whole visit: what a ``visit`` record says of it."""
        job = self._job
        if job["affinity"]:
            os.sched_setaffinity(0, job["affinity"])
        asked = Asked(job["engine"], self._path, job["threads"], plan.get("inputs"), plan.get("entry"))
        first = self._loaded is None
        begin = time.perf_counter_ns()
        loaded = self._loaded or load(self._module, asked)
        load_ns = time.perf_counter_ns() - begin
        self._loaded = loaded
        gc.disable()
        programs = job["engine"]["accelerator"] in KINDS
        # What costs most is asked farthest from the runs, the processor time and the power right beside them.
        before = dict(read_accelerators(programs=programs), **read_state(job["affinity"]))
        before.update(probe_ns=probe_ns(plan["probe_loops"]), **read_rails())
        own = time.process_time()
        warmup = [*(loaded.first_ns if first else ()), *warm_up(loaded.run, plan)]
        runs = timed_runs(loaded.run, plan)
        own = time.process_time() - own
        after = dict(read_rails(), **read_state(job["affinity"]), probe_ns=probe_ns(plan["probe_loops"]))
        after.update(read_accelerators(programs=programs))
        made = {"warmup_ns": warmup, "runs_ns": runs, "before": before, "after": after, "own_s": own}
        if first:
            made["load_ns"] = load_ns if loaded.load_ns is None else loaded.load_ns
        if first and loaded.placed is not None:
            with captured_log():
                made["placed"] = dict(
                    loaded.placed, difference_percent=_difference_percent(loaded, self._module, asked)
                )
        return made


def _difference_percent(loaded: Loaded, module: Any, asked: Asked) -> float | None:
    """How far the outputs are from the processor's on the same inputs; None: the processor cannot run it."""
    try:
        there = load(module, asked.on_cpu)
        there.run()
    except Exception:  # noqa: BLE001 - whatever it is, the times stand
        return None
    return difference_percent(loaded.outputs(), there.outputs())
