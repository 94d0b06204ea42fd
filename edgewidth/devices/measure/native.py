"""Visits with a native benchmark program: the runner's session is served on this machine, the models run there.

The device needs nothing but a shell and the program. Everything else (orders, records, what is skipped after a
crash) is the same code as on devices with Python.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgewidth.devices.engines.engine import LEAST_RUNS
from edgewidth.devices.engines.table import support_of
from edgewidth.devices.measure.patience import Patience
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.on_device import runner
from edgewidth.devices.on_device.visit import VisitError, is_steady, middle, window_runs
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.devices.reach.shell_facts import shell_state
from edgewidth.errors import SurroundingsError
from edgewidth.files import cache_folder
from edgewidth.progress import SILENT
from edgewidth.waiting import beside, pause

if TYPE_CHECKING:
    from edgewidth.devices.device import Device
    from edgewidth.devices.engines.engine import Program, Runs
    from edgewidth.devices.profiles import DeviceProfile
    from edgewidth.devices.reach.transport import Transport
    from edgewidth.records.measurement import DeviceFacts, Setting

_T = TypeVar("_T")
_CALL_S = 5.0
"""Runs are asked for in calls of about this length: between them the times are looked at."""


def as_measured(device: Device, setting: Setting) -> Device:
    """The device as a campaign sees it: itself, or with its native program behind a session served here."""
    engine = setting.engine
    program = support_of(engine).program(device.transport, device.profile, engine, setting.threads)
    if program is None:
        return device
    # The session looks at this machine's temperature; the visits look at the device's.
    profile = device.profile.model_copy(update={"cool_down_c": None})
    accelerated = not engine.accelerator.is_cpu
    native = NativeTransport(device.transport, device.profile, program, accelerated=accelerated)
    return device._replace(profile=profile, transport=native)


class NativeTransport(LocalTransport):
    """A device whose runner works on this machine and measures on another, ``link``.

    The folder outlives this program, as a device's would: what was measured before a crash is still there. That one
    session at a time measures is held on this machine, by profile: one on another machine is not seen.
    ``accelerated``: the program's models run on an accelerator, which is asked how it is doing.
    """

    def __init__(self, link: Transport, profile: DeviceProfile, program: Program, *, accelerated: bool) -> None:
        super().__init__(cache_folder() / "native" / profile.name, profile.python)
        self.clock = link.clock
        self._link, self._visits = link, _Visits(link, profile, program, accelerated=accelerated)

    def facts(self) -> DeviceFacts:
        """What the device itself is."""
        return self._link.facts()

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Serve the session whose folder and time are the last words, in a thread."""
        session = runner.Session(Path(argv[-2]), float(argv[-1]), self._visits.of)
        threading.Thread(target=session.serve, name=log, daemon=True).start()


class _Visits:
    """Measures one model after the other; what ``visit.Forked`` is on devices with Python."""

    def __init__(self, link: Transport, profile: DeviceProfile, program: Program, *, accelerated: bool) -> None:
        self._link, self._profile, self._program, self._accelerated = link, profile, program, accelerated
        self._patience = Patience(Policy(), SILENT)
        self._cool_limit_s = 0.0

    def of(self, job: Mapping[str, Any]) -> _Visits:
        """Those of a session's job."""
        self._cool_limit_s = job["cool_limit_s"]
        return self

    def __call__(self, path: str, plan: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
        """The times and states of one visit.

        Raises:
            VisitError: The program failed, or the link stayed broken.
        """
        target = f"{self._link.workdir}/models/{Path(path).name}"

        def call(action: Callable[[], _T]) -> _T:
            return beside(lambda: self._patience(action), beat)

        try:
            call(lambda: self._link.put({target: Path(path)}))
            return self._visit(target, plan, call)
        except SurroundingsError as error:
            raise VisitError(error.message) from error
        finally:
            with suppress(SurroundingsError):  # what went wrong before matters more
                call(lambda: self._link.run(["rm", "-rf", target, f"{target}.csv", f"{target}.cache"]))

    def _visit(self, model: str, plan: dict[str, Any], call: Callable[[Callable[[], Any]], Any]) -> dict[str, Any]:
        affinity = self._profile.affinity
        self._cool_down(call)
        before = call(lambda: shell_state(self._link, affinity, programs=self._accelerated))
        visit = _Visit(self._program, model, plan, call)
        warmup = visit.warm_up()
        runs = visit.run()
        after = call(lambda: shell_state(self._link, affinity, ends=True, programs=self._accelerated))
        return {
            "warmup_ns": visit.first_ns + warmup,
            "runs_ns": runs,
            "before": before.model_dump(),
            "after": after.model_dump(),
            "own_s": visit.own_s,
            "load_ns": visit.load_ns,
            "placed": visit.placed,
        }

    def _cool_down(self, call: Callable[[Callable[[], Any]], Any]) -> None:
        target, deadline = self._profile.cool_down_c, time.monotonic() + self._cool_limit_s
        while target is not None and time.monotonic() < deadline:
            if (call(lambda: shell_state(self._link)).temperature_c or 0.0) <= target:
                break
            pause(1.0)


class _Visit:
    """The invocations of one visit, and what they told."""

    def __init__(
        self, program: Program, model: str, plan: dict[str, Any], call: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self._program, self._model, self._plan, self._call = program, model, plan, call
        self._deadline = time.monotonic() + plan["limit_s"]
        self._seconds_per_run = 0.0
        self.first_ns: list[int] = []
        self.own_s = 0.0
        self.load_ns: int | None = None
        self.placed: dict[str, Any] | None = None

    def warm_up(self) -> list[int]:
        """Invoke until steady by the rule of the runner's ``warm_up``, judged after every call; the times."""
        plan, times = self._plan, list[int]()
        while sum(times) < plan["warmup_max_ns"] and len(times) < plan["max_runs"]:
            times += self._invoke(times, max(plan["warmup_min_ns"], plan["window_ns"]) - sum(times))
            window = window_runs(times, plan["window_ns"])
            if sum(times) >= plan["warmup_min_ns"] and is_steady(times, window, plan["tolerance"]):
                break
        return times

    def run(self) -> list[int]:
        """Invoke for as long as the runner's ``timed_runs`` would run; the times."""
        plan, times = self._plan, list[int]()
        while len(times) < plan["max_runs"]:
            times += self._invoke(times, plan["visit_ns"] - sum(times))
            if sum(times) >= (plan["visit_ns"] if len(times) >= plan["min_runs"] else plan["visit_max_ns"]):
                break
        return times

    def _invoke(self, times: Sequence[int], wanted_ns: float) -> list[int]:
        """Some more runs: enough for ``wanted_ns`` if that is known, and no more than a call of a few seconds."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise VisitError(f"no result within {self._plan['limit_s']:.0f} s")
        count = LEAST_RUNS
        if times and self._seconds_per_run:
            count = max(count, round(wanted_ns / middle(times)))
            count = max(LEAST_RUNS, min(count, int(_CALL_S / self._seconds_per_run)))
        start, invoke = time.monotonic(), self._program.invoke
        given = {name: self._plan[name] for name in ("inputs", "entry") if name in self._plan}
        told: Runs = self._call(lambda: invoke(self._model, count, timeout_s=left_s, **given))
        self._seconds_per_run = (time.monotonic() - start) / len(told.runs_ns)
        self.first_ns += told.first_ns
        self.own_s += told.own_s
        if self.load_ns is None:  # later ones find what the first compiled
            self.load_ns, self.placed = told.load_ns, told.placed
        return told.runs_ns
