"""The program that runs on the device: it measures what it is ordered to and writes down every nanosecond.

It needs Python 3.9, numpy and one runtime, and is copied to the device as one archive that Python runs, with the
other modules of this folder (see ``facts.runner_archive``). A session is a folder:

- ``job.json``: engine, threads, affinity and limits, the same for every visit of the session; and a file that the
  host has locked until it ends, where it is on this machine and nobody else would fetch the output;
- ``orders-0001.jsonl`` …: visits to make, put there while the runner works; the last line counts the others,
  so that a half copied file is told from a whole one;
- ``stop``: an empty file that asks for an end after the visit in progress;
- ``out.jsonl``: one JSON object a line: ``hello``, ``busy``, ``begin``, ``visit``, ``failed``, ``beat``, ``end``.

The runner imports the runtime once and forks a process for each visit (or each model, where the engine takes long to
load one), so that no model inherits another one's memory, and one that crashes takes nothing with it. Started twice it
works once (a lock); started again it skips what ``out.jsonl`` holds. It deletes models and orders when it ends; the
output stays for the host to read.

Of several sessions in one working folder one has the device, while it has work: the others wait for it, so long and no
longer. The first thing that one does is to delete what is left of sessions whose runner is dead and whose host will not
come back.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from pathlib import Path

from edgewidth.devices.on_device.alone import Alone, try_lock
from edgewidth.devices.on_device.forked import Forked
from edgewidth.devices.on_device.values import values_file
from edgewidth.devices.on_device.visit import VisitError, check_whole
from edgewidth.devices.on_device.vitals import read_facts, temperature_c

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
HELD_S = 10.0
"""After so long without orders a session lets others have the device: its host may be gone."""
AGAIN_S = 0.25
"""How often a session that waits for another one looks: seldom, because to look disturbs the other."""
TOLD_S = 1.0
"""After so long of waiting for another session that is told: one that is just ending is not worth a word."""


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
        self.alone = Alone(folder.parent / "measuring.lock")
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
            if not try_lock(lock):
                return 0  # another runner is at work here
            if not self._recover():
                return 0  # this session had its end
            with (self.folder / "out.jsonl").open("ab", buffering=0) as self.out:
                return self._guarded()

    def _guarded(self) -> int:
        try:
            (self.folder / "reserve").write_bytes(b"\1" * RESERVE_BYTES)
            self._write("hello", version=PROTOCOL, pid=os.getpid(), facts=read_facts(str(self.folder)))
            status, detail = self._served()
        except ImportError as error:
            status, detail = "no runtime", str(error)
        except OSError as error:
            status, detail = ("disk full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "failed"), str(error)
        except Exception as error:  # noqa: BLE001 - the host has no other way to learn of it
            status, detail = "failed", f"{type(error).__name__}: {error}"
        code = 0 if status in {"stopped", "idle"} else 1
        self._clean_up()
        self.alone.leave()  # before the end is told: who hears of it may start another session
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

    def _served(self) -> tuple[str, str]:
        """How the session ended, and what there is to say of that."""
        ended = self._take_device()
        if ended is None:
            self._sweep()
            ended = self._work(self.measurer(self.job))
        return ended

    def _take_device(self) -> tuple[str, str] | None:
        """Wait until no other session measures on this device; how this one ends where that takes too long."""
        began, told = time.monotonic(), False
        while not self.alone.take():
            waited_s = time.monotonic() - began
            if self._is_over():
                return "stopped", ""
            if waited_s > self.job["busy_limit_s"]:
                return "busy", self.alone.holder()
            if waited_s > TOLD_S and not told:
                self._write("busy", holder=self.alone.holder())
                told = True
            self._beat()
            time.sleep(AGAIN_S)
        return None

    def _sweep(self) -> None:
        for other in self.folder.parent.glob("session-*"):
            if other != self.folder:
                delete_left(other, self.job["idle_limit_s"])

    def _is_over(self) -> bool:
        """Whether nobody wants more of this session."""
        return (self.folder / "stop").exists() or host_is_gone(self.job)

    def _work(self, measure: Callable[[str, Json, Callable[[], None]], Json]) -> tuple[str, str]:
        idle_since = time.monotonic()
        for order in self._orders():
            if order is None:
                idle_s = time.monotonic() - idle_since
                if idle_s > self.job["idle_limit_s"]:
                    return "idle", f"no orders for {self.job['idle_limit_s']:g} s"
                if idle_s > HELD_S:
                    self.alone.leave()
                self._beat()
                time.sleep(self.job["nap_s"])
                continue
            if order["id"] not in self.done:
                ended = self._take_device()
                if ended is not None:
                    return ended
                self._visit(measure, order)
            idle_since = time.monotonic()
        return "stopped", ""

    def _orders(self) -> Iterator[Json | None]:
        """The orders one by one, None whenever there is none yet; ends when nobody wants more."""
        number = 1
        while True:
            lines = self._order_lines(self.folder / f"orders-{number:04d}.jsonl")
            for line in lines or [None]:
                if self._is_over():
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
            self._write("failed", id=name, reason=str(error), final=error.final, of_engine=error.of_engine)
        self.done.add(name)
        if not order["keep"]:
            for file in (path, Path(values_file(str(path)))):
                file.unlink(missing_ok=True)

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
        for path in (*self.folder.glob("orders-*.jsonl"), self.folder / "reserve"):
            path.unlink(missing_ok=True)


def host_is_gone(job: Json) -> bool:
    """Whether the host has ended that ordered a session, where that can be told, and with it what it would fetch."""
    alive = job.get("alive")
    if alive is None:
        return False
    try:
        with Path(alive).open("rb") as file:
            return try_lock(file)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def delete_left(folder: Path, after_s: float) -> None:
    """Delete a session's folder if no runner lives in it and its host is gone.

    Where that cannot be told, a host that has let so much time pass since anything was written there is taken for gone.
    """
    job: Json = {}
    with contextlib.suppress(OSError, ValueError):
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with contextlib.suppress(OSError):
        newest_s = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        if host_is_gone(job) or time.time() - newest_s > after_s:
            with (folder / "lock").open("ab") as lock:
                if try_lock(lock):
                    shutil.rmtree(folder, ignore_errors=True)


def main(words: Sequence[str]) -> int:
    """``serve FOLDER HOST_TIME``."""
    return Session(Path(words[1]), float(words[2])).serve()
