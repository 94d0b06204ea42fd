"""One visit of the runner: load a model, warm it up until steady, run it back to back; in a process of its own.

Python 3.9 and later.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import resource
import select
import signal
import time
from importlib import import_module
from pathlib import Path

from edgewidth.devices.on_device.runtimes import import_runtime, load
from edgewidth.devices.on_device.vitals import read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Json = dict[str, Any]


class VisitError(Exception):
    """A visit that gave no times, and why. ``final``: another try would end alike."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


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


def visit(module: Any, job: Json, path: str, plan: Json) -> Json:
    """One whole visit in this process: what a ``visit`` record says of it."""
    if job["affinity"]:
        os.sched_setaffinity(0, job["affinity"])
    run = load(module, job["runtime"], path, job["threads"], plan.get("inputs"), plan.get("entry"))
    gc.disable()
    before = dict(read_state(job["affinity"]), probe_ns=probe_ns(plan["probe_loops"]))
    own = time.process_time()
    warmup = warm_up(run, plan)
    runs = timed_runs(run, plan)
    own = time.process_time() - own
    after = dict(read_state(job["affinity"]), probe_ns=probe_ns(plan["probe_loops"]))
    return {"warmup_ns": warmup, "runs_ns": runs, "before": before, "after": after, "own_s": own}


# Visits in processes of their own.


def _reply(pipe: int, make: Callable[[], Json]) -> None:
    """Write, in the child, one JSON object to the pipe, and leave without the parent's clean-up handlers."""
    try:
        reply = make()
    except BaseException as error:  # noqa: BLE001 - whatever a runtime raises is told to the host
        reply = {"error": f"{type(error).__name__}: {error}"[:2000]}
    with os.fdopen(pipe, "w") as stream:
        json.dump(reply, stream)
    os._exit(0)


def _limit_memory() -> None:
    """Let this process take no more memory than is free: what asks for more fails, and no other has to go."""
    free = read_state().get("available_bytes")
    if free:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
            limit = pages * resource.getpagesize() + free
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _read_all(pipe: int, limit_s: float, beat: Callable[[], None]) -> bytes | None:
    """Everything until the other end closes; None if that takes longer than ``limit_s``."""
    content, deadline = b"", time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ready, _, _ = select.select([pipe], [], [], 0.5)
        beat()
        if ready:
            part = os.read(pipe, 1 << 20)
            if not part:
                return content
            content += part
    return None


def in_child(make: Callable[[], Json], limit_s: float, beat: Callable[[], None]) -> Json:
    """What ``make`` returns in a forked process that is killed after ``limit_s``.

    Raises:
        VisitError: It raised, was killed, or took too long.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _limit_memory()
        _reply(writer, make)
    os.close(writer)
    content = None
    try:
        content = _read_all(reader, limit_s, beat)
    finally:
        os.close(reader)
        if content is None:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    if content is None:
        raise VisitError(f"no result within {limit_s:.0f} s", final=True)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        killed = number == signal.SIGKILL
        hint = " (usually: out of memory)" if killed else ""
        raise VisitError(f"the process was ended by {signal.Signals(number).name}{hint}", final=not killed)
    reply: Json = json.loads(content)
    if "error" in reply:
        raise VisitError(reply["error"])
    return reply


class Forked:
    """Measures on this device: the runtime is imported once, each visit is a forked process."""

    def __init__(self, job: Json) -> None:
        self.job = job
        # Its threads would not survive the fork, and nothing here multiplies matrices.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self.module = import_runtime(job["runtime"])
        # What is loaded or looked up once, every visit inherits; NumPy loads its generators on first use.
        import_module("numpy.random")
        read_state(job["affinity"])
        gc.freeze()

    def __call__(self, path: str, plan: Json, beat: Callable[[], None]) -> Json:
        """The times and states of one visit; see ``visit``."""
        return in_child(lambda: visit(self.module, self.job, path, plan), plan["limit_s"], beat)
