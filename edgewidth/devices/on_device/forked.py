"""Visits in processes of their own, so that a model that crashes takes nothing with it. Python 3.9 and later."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from edgewidth.devices.on_device.loaded import EngineError
from edgewidth.devices.on_device.runtimes import import_runtime
from edgewidth.devices.on_device.sensors import KINDS, read_accelerators, read_rails
from edgewidth.devices.on_device.visit import Model, VisitError
from edgewidth.devices.on_device.vitals import read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

_PR_SET_PDEATHSIG = 1
"""As Linux numbers it."""
_LEAVE_S = 2.0
"""How long a process may take to end when it is no longer needed."""


def _limit_memory() -> None:
    """Let this process take no more memory than is free: what asks for more fails, and no other has to go."""
    free = read_state().get("available_bytes")
    if free:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
            limit = pages * resource.getpagesize() + free
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, however that ends: nobody would hear what it measures."""
    with contextlib.suppress(ImportError, OSError, AttributeError):  # a Python or a system that cannot
        import_module("ctypes").CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A forked process that answers with what ``answer`` makes of a question; both are JSON, one line each."""

    _open: ClassVar[set[int]] = set()
    """The ends of all pipes that this process holds. A later child must not: its brothers would never see an end."""

    def __init__(self, answer: Callable[[Json], Json]) -> None:
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        self._open.update((self._questions, self._answers))
        runner = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _end_with(runner)
            for end in self._open:
                os.close(end)
            _limit_memory()
            _serve(questions, answers, answer)
        os.close(questions)
        os.close(answers)

    def ask(self, question: Json, limit_s: float, beat: Callable[[], None]) -> Json:
        """The answer; a process that gives none within ``limit_s`` is killed.

        Raises:
            VisitError: It raised, was killed, or took too long. A process that has answered and then dies has answered.
        """
        with contextlib.suppress(BrokenPipeError):  # that it is dead is found below
            os.write(self._questions, json.dumps(question).encode() + b"\n")
        content, late = b"", False
        try:
            content, late = self._read_line(limit_s, beat)
        except BaseException:
            self._end(kill=True)
            raise
        if not content.endswith(b"\n"):
            status = self._end(kill=late)
            raise _death(status, limit_s, late=late)
        reply: Json = json.loads(content)
        if "error" in reply:
            raise VisitError(reply["error"], final=reply["of_engine"], of_engine=reply["of_engine"])
        return reply

    def close(self) -> None:
        """Let it end; it is killed where it does not."""
        self._end(kill=False)

    def _read_line(self, limit_s: float, beat: Callable[[], None]) -> tuple[bytes, bool]:
        """Everything until the end of a line, or of the process; and whether it took too long."""
        content, deadline = b"", time.monotonic() + limit_s
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._answers], [], [], 0.5)
            beat()
            if ready:
                part = os.read(self._answers, 1 << 20)
                content += part
                if not part or part.endswith(b"\n"):
                    return content, False
        return content, True

    def _end(self, *, kill: bool) -> int:
        """End it and return the status that it left with; again: that of before."""
        if self._pid == 0:
            return 0
        for end in (self._questions, self._answers):
            os.close(end)
            self._open.discard(end)
        pid, self._pid = self._pid, 0
        deadline = time.monotonic() + (0.0 if kill else _LEAVE_S)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]


def _serve(questions: int, answers: int, answer: Callable[[Json], Json]) -> None:
    """Answer, in the child, until nobody asks any more; leave without the parent's clean-up handlers."""
    with contextlib.suppress(BaseException), os.fdopen(questions) as stream:
        for line in stream:
            try:
                reply = answer(json.loads(line))
            except BaseException as error:  # noqa: BLE001 - whatever a runtime raises is told to the host
                of_engine = isinstance(error, EngineError)
                text = str(error) if of_engine else f"{type(error).__name__}: {error}"
                reply = {"error": text[:2000], "of_engine": of_engine}
            content = json.dumps(reply).encode() + b"\n"
            while content:
                content = content[os.write(answers, content) :]
    os._exit(0)


def _death(status: int, limit_s: float, *, late: bool) -> VisitError:
    if late:
        return VisitError(f"no result within {limit_s:.0f} s", final=True)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        killed = number == signal.SIGKILL
        hint = " (usually: out of memory)" if killed else ""
        return VisitError(f"the process was ended by {signal.Signals(number).name}{hint}", final=not killed)
    return VisitError("the process ended without a word")


def in_child(make: Callable[[], Json], limit_s: float, beat: Callable[[], None]) -> Json:
    """What ``make`` returns in a forked process that is killed after ``limit_s``; raises as ``Child.ask`` does."""
    child = Child(lambda _: make())
    try:
        return child.ask({}, limit_s, beat)
    finally:
        child.close()


class Forked:
    """Measures on this device: the runtime is imported once, and each visit is a forked process.

    Where the job's engine compiles a model when it loads it, ``job["kept"]`` is how many such processes stay for later
    visits to their models; those that were needed longest ago go first.
    """

    def __init__(self, job: Json) -> None:
        self.job = job
        # Its threads would not survive the fork, and nothing here multiplies matrices.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self.module = import_runtime(job["engine"]["runtime"])
        # What is loaded or looked up once, every visit inherits; NumPy loads its generators on first use.
        import_module("numpy.random")
        read_state(job["affinity"])
        read_accelerators(programs=job["engine"]["accelerator"] in KINDS)
        read_rails()
        gc.freeze()
        self._kept: dict[str, Child] = {}

    def __call__(self, path: str, plan: Json, beat: Callable[[], None]) -> Json:
        """The times and states of one visit; see ``visit.Model``."""
        child = self._kept.pop(path, None) or Child(Model(self.module, self.job, path).visit)
        try:
            made = child.ask(plan, plan["limit_s"], beat)
        except BaseException:
            child.close()
            raise
        self._kept[path] = child
        while len(self._kept) > self.job["kept"]:
            self._kept.pop(next(iter(self._kept))).close()
        return made
