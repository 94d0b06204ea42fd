"""The program that runs on the device: it measures what it is ordered to and writes down every nanosecond.

It needs Python 3.9, numpy and one runtime, and is copied to the device as one archive that Python runs, with
``runtimes`` and ``vitals`` (see ``facts.runner_archive``). A session is a folder:

- ``job.json``: runtime, threads, affinity and limits, the same for every visit of the session;
- ``orders-0001.jsonl`` …: visits to make, put there while the runner works; the last line counts the others,
  so that a half copied file is told from a whole one;
- ``stop``: an empty file that asks for an end after the visit in progress;
- ``out.jsonl``: one JSON object a line: ``hello``, ``begin``, ``visit``, ``failed``, ``beat``, ``end``.

The runner imports the runtime once and forks one process per visit, so that no visit inherits another one's
memory, and a model that crashes takes nothing with it. Started twice it works once (a lock); started again it
skips what ``out.jsonl`` holds. It deletes models and orders when it ends; the output stays for the host to read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import hashlib
import json
import os
import select
import shutil
import signal
import time
from importlib import import_module
from pathlib import Path

from edgewidth.devices.on_device.runtimes import import_runtime, load
from edgewidth.devices.on_device.vitals import read_facts, read_state, temperature_c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, BinaryIO

    Json = dict[str, Any]

PROTOCOL = 1
RESERVE_BYTES = 16_384
"""Kept on the disk to be given back when it is full, so that the end can still be written down."""
MAX_DEATHS = 2
"""A visit in which the runner died as often is not tried again."""


# One visit: load, warm up until steady, run back to back.


class VisitError(Exception):
    """A visit that gave no times, and why."""


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
    run = load(module, job["runtime"], path, job["threads"])
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
    """In the child: write one JSON object to the pipe, and leave without the parent's clean-up handlers."""
    try:
        reply = make()
    except BaseException as error:  # noqa: BLE001 - whatever a runtime raises is told to the host
        reply = {"error": f"{type(error).__name__}: {error}"[:2000]}
    with os.fdopen(pipe, "w") as stream:
        json.dump(reply, stream)
    os._exit(0)


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
        raise VisitError(f"no result within {limit_s:.0f} s")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = " (usually: out of memory)" if number == signal.SIGKILL else ""
        raise VisitError(f"the process was ended by {signal.Signals(number).name}{hint}")
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


# The session: orders in, records out.


class Session:
    """One folder with a job: makes the visits ordered there and appends a record for each to ``out.jsonl``.

    Args:
        folder: Where ``job.json`` is.
        host_s: The host's clock (Unix time) as the session is started: the device's own may be wrong or step.
        measurer: Makes the callable that measures from the job; raises ImportError if the runtime is missing.
        clock: Seconds that pass while measuring.
    """

    def __init__(
        self,
        folder: Path,
        host_s: float,
        measurer: Callable[[Json], Callable[[str, Json, Callable[[], None]], Json]] = Forked,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.measurer, self.clock = folder, measurer, clock
        self.offset_s = host_s - clock()
        self.deaths: dict[str, int] = {}
        self.done: set[str] = set()
        self.whole: set[str] = set()
        self.job: Json = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self.last_write = 0.0
        self.out: BinaryIO

    def serve(self) -> int:
        """Work until told to stop, idle for too long, or in trouble; the exit status."""
        with (self.folder / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return 0  # another runner is at work here
            if not self._recover():
                return 0  # this session had its end
            with (self.folder / "out.jsonl").open("ab", buffering=0) as self.out:
                return self._guarded()

    def _guarded(self) -> int:
        try:
            (self.folder / "reserve").write_bytes(b"\1" * RESERVE_BYTES)
            self._write("hello", version=PROTOCOL, pid=os.getpid(), facts=read_facts(str(self.folder)))
            status, detail = self._work(self.measurer(self.job))
        except ImportError as error:
            status, detail = "no runtime", str(error)
        except OSError as error:
            status, detail = ("disk full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "failed"), str(error)
        except Exception as error:  # noqa: BLE001 - the host has no other way to learn of it
            status, detail = "failed", f"{type(error).__name__}: {error}"
        code = 0 if status in {"stopped", "idle"} else 1
        self._clean_up()
        self._write("end", status=status, detail=detail[:2000], code=code)
        return code

    def _recover(self) -> bool:
        """Learn from the output what is done, and cut off a half line: its writer was killed. False: all is over."""
        path = self.folder / "out.jsonl"
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        for line in content[:whole].splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # what a power cut left behind; the host judges it
                continue
            if record["t"] == "end":
                return False
            if record["t"] in {"visit", "failed"}:
                self.done.add(record["id"])
            elif record["t"] == "begin":
                self.deaths[record["id"]] = self.deaths.get(record["id"], 0) + 1
        return True

    def _write(self, kind: str, **fields: object) -> None:
        line = json.dumps({"t": kind, "at_s": round(self.clock() + self.offset_s, 6), **fields}).encode() + b"\n"
        end = self.out.seek(0, os.SEEK_END)
        try:
            self._append(line)
        except OSError:
            self.out.truncate(end)  # no half line stays behind
            raise
        self.last_write = time.monotonic()

    def _append(self, line: bytes) -> None:
        while line:  # a disk that fills up takes a part first
            line = line[self.out.write(line) or 0 :]

    def _beat(self) -> None:
        if time.monotonic() - self.last_write >= self.job["beat_s"]:
            self._write("beat")

    def _work(self, measure: Callable[[str, Json, Callable[[], None]], Json]) -> tuple[str, str]:
        idle_since = time.monotonic()
        for order in self._orders():
            if order is None:
                if time.monotonic() - idle_since > self.job["idle_limit_s"]:
                    return "idle", f"no orders for {self.job['idle_limit_s']:g} s"
                self._beat()
                time.sleep(self.job["nap_s"])
                continue
            if order["id"] not in self.done:
                self._visit(measure, order)
            idle_since = time.monotonic()
        return "stopped", ""

    def _orders(self) -> Iterator[Json | None]:
        """The orders one by one, None whenever there is none yet; ends when ``stop`` is there."""
        stop, number = self.folder / "stop", 1
        while True:
            lines = self._order_lines(self.folder / f"orders-{number:04d}.jsonl")
            for line in lines or [None]:
                if stop.exists():
                    return
                yield line
            number += lines is not None

    @staticmethod
    def _order_lines(path: Path) -> list[Json | None] | None:
        """The orders of a file; None while it is not all there."""
        with contextlib.suppress(OSError, ValueError):
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if lines and lines[-1] == {"count": len(lines) - 1}:
                return lines[:-1]
        return None

    def _visit(self, measure: Callable[[str, Json, Callable[[], None]], Json], order: Json) -> None:
        name, path = order["id"], self.folder / order["file"]
        if self.deaths.get(name, 0) >= MAX_DEATHS:
            self._write("failed", id=name, reason=f"the runner died {MAX_DEATHS} times while measuring it")
            return
        self._write("begin", id=name)
        try:
            if order["file"] not in self.whole:
                check_whole(path, order["sha256"])
                self.whole.add(order["file"])
            cooled_s = self._cool_down()
            started_s = self.clock() + self.offset_s
            self._write(
                "visit", id=name, started_s=started_s, cooled_s=cooled_s, **measure(str(path), order, self._beat)
            )
        except VisitError as error:
            self._write("failed", id=name, reason=str(error))
        self.done.add(name)
        if not order["keep"]:
            path.unlink()

    def _cool_down(self) -> float:
        """Wait until the device is as cool as the job asks, within its limit; the seconds that took."""
        target, begin = self.job["cool_down_c"], time.monotonic()
        while target is not None and time.monotonic() - begin < self.job["cool_limit_s"]:
            if (temperature_c() or 0.0) <= target:
                break
            self._beat()
            time.sleep(0.5)
        return time.monotonic() - begin

    def _clean_up(self) -> None:
        shutil.rmtree(self.folder / "models", ignore_errors=True)
        for name in [*self.folder.glob("orders-*.jsonl"), self.folder / "reserve"]:
            name.unlink()


def main(words: Sequence[str]) -> int:
    """``serve FOLDER HOST_TIME``."""
    return Session(Path(words[1]), float(words[2])).serve()
