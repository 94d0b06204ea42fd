"""What runs on the device, here without a device."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_onnx import small_onnx

from edgewidth.devices import check
from edgewidth.devices.on_device import forked, runner, visit, vitals
from edgewidth.devices.on_device.alone import Alone, try_lock
from edgewidth.devices.reach.facts import runner_archive
from edgewidth.records.measurement import DeviceState

if TYPE_CHECKING:
    from collections.abc import Callable

JOB = {
    "engine": {"runtime": "onnxruntime", "accelerator": "cpu"},
    "kept": 0,
    "threads": 1,
    "affinity": [],
    "cool_down_c": None,
    "cool_limit_s": 1,
    "idle_limit_s": 10,
    "busy_limit_s": 10,
    "beat_s": 0.05,
    "nap_s": 0.01,
}
PLAN = {
    "visit_ns": 3_000_000,
    "visit_max_ns": 50_000_000,
    "min_runs": 3,
    "max_runs": 1000,
    "warmup_min_ns": 1_000_000,
    "warmup_max_ns": 20_000_000,
    "window_ns": 500_000,
    "tolerance": 0.05,
    "probe_loops": 100,
    "limit_s": 30,
}


def clocked(durations_ns: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A model whose runs take these times on a clock that only it moves."""
    clock, times = [0], iter(durations_ns)
    monkeypatch.setattr("edgewidth.devices.on_device.visit.time.perf_counter_ns", lambda: clock[0])

    def run() -> None:
        clock[0] += next(times)

    return run


@pytest.mark.parametrize("path", sorted(Path(runner.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_the_source_is_fit_for_python_3_9(path: Path) -> None:
    """Old boards have Python 3.9: the files must parse there and need nothing beside the standard library."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
    names -= {f"edgewidth.devices.on_device.{one.stem}" for one in path.parent.glob("*.py")}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_warm_up_ends_when_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow first runs, then constant ones: the warm-up ends soon after, and keeps every time."""
    first = [9_000_000, 5_000_000, 2_000_000]
    times = visit.warm_up(clocked([*first, *[100_000] * 1000], monkeypatch), PLAN)
    assert times[:3] == first
    assert 15 <= len(times) < 60


def test_warm_up_of_an_unsteady_model_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that go on falling are not steady; the limit ends it."""
    durations = (int(1_000_000 * 0.99**i) + 1000 for i in itertools.count())
    times = visit.warm_up(clocked(durations, monkeypatch), PLAN | {"tolerance": 0.001})
    assert PLAN["warmup_max_ns"] <= sum(times) <= PLAN["warmup_max_ns"] + 1_000_000


@pytest.mark.parametrize(
    ("run_ns", "count"),
    [
        (100_000, 30),  # by time
        (2_000_000, 3),  # by the least number of runs
        (30_000_000, 2),  # by the longest time
        (100, 1000),  # by the greatest number of runs
    ],
)
def test_visit_length(run_ns: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which limit ends a visit depends on how long a run takes."""
    assert visit.timed_runs(clocked(itertools.repeat(run_ns), monkeypatch), PLAN) == [run_ns] * count


def test_throttle_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits 0 and 2 now, bit 16 since boot."""
    texts = {"/sys/devices/platform/soc/soc:firmware/get_throttled": "10005"}
    monkeypatch.setattr(vitals, "_text", texts.get)
    assert vitals.read_state()["throttled"] == ["under-voltage", "throttled", "under-voltage since boot"]


def test_state_of_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the files of a Raspberry Pi say, in our units."""
    texts = {
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
        "/proc/meminfo": "MemTotal: 3884360 kB\nMemAvailable:    3000000 kB",
        "/proc/vmstat": "pswpin 7\npswpout 5",
        "/proc/stat": "cpu  100 20 30 4000 50 1 2 3 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0",
    }
    monkeypatch.setattr(vitals, "_text", texts.get)
    state = vitals.read_state([0])
    assert (state["frequency_mhz"], state["governor"]) == (1800, "ondemand")
    assert (state["available_bytes"], state["swapped_pages"]) == (3_072_000_000, 12)
    assert state["busy_s"] == pytest.approx(1.56)


def test_a_crash_is_told() -> None:
    """A model that kills its process, one that hangs and one that raises: each has its reason."""

    def crash() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def hang() -> dict[str, Any]:
        time.sleep(60)
        return {}

    def fail() -> dict[str, Any]:
        raise RuntimeError("no such operator")

    beats: list[int] = []
    for make, reason in (
        (crash, "SIGKILL .usually: out of memory"),
        (hang, "no result within"),
        (fail, "no such operator"),
    ):
        with pytest.raises(visit.VisitError, match=reason):
            forked.in_child(make, 1.2, lambda: beats.append(1))
    assert beats, "the heartbeat goes on meanwhile"


class Folder:
    """A session's folder and a runner in this process, with a measurement that takes no time."""

    def __init__(self, path: Path) -> None:
        self.path, self.measured, self.batches = path, list[str](), 0
        (path / "models").mkdir(parents=True)
        (path / "job.json").write_text(json.dumps(JOB))

    def order(self, *names: str, whole: bool = True) -> None:
        lines = []
        for name in names:
            content = name.encode()
            (self.path / "models" / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            lines.append({"id": name, "file": f"models/{name}", "sha256": digest, "keep": True, **PLAN})
        self.batches += 1
        tail = [{"count": len(lines)}] if whole else []
        text = "".join(json.dumps(line) + "\n" for line in [*lines, *tail])
        (self.path / f"orders-{self.batches:04d}.jsonl").write_text(text)

    def measure(self, path: str, plan: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
        del plan, beat
        self.measured.append(Path(path).name)
        if self.measured[-1] == "last":
            (self.path / "stop").touch()
        return {"warmup_ns": [1], "runs_ns": [2]}

    def serve(self, **job: object) -> int:
        (self.path / "job.json").write_text(json.dumps(JOB | job))
        return runner.Session(self.path, 1000.0, lambda _: self.measure).serve()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "out.jsonl").read_text().splitlines()]

    def kinds(self) -> list[str]:
        return [record["t"] for record in self.records()]


def test_serves_orders_and_cleans_up(tmp_path: Path) -> None:
    """Visits in the order given, then the end; models, orders and reserve are gone."""
    folder = Folder(tmp_path)
    folder.order("a", "b")
    folder.order("c", "last", "never")
    assert folder.serve() == 0
    assert folder.measured == ["a", "b", "c", "last"]
    assert folder.kinds() == ["hello", *["begin", "visit"] * 4, "end"]
    assert folder.records()[-1]["status"] == "stopped"
    assert {path.name for path in tmp_path.iterdir()} == {"job.json", "lock", "out.jsonl", "stop"}


def test_a_half_copied_order_waits(tmp_path: Path) -> None:
    """Orders without their last line are not read until they are whole."""
    folder = Folder(tmp_path)
    folder.order("a", whole=False)
    assert folder.serve(idle_limit_s=0.1) == 0
    assert (folder.measured, folder.records()[-1]["status"]) == ([], "idle")


def test_started_again_it_skips_what_is_done(tmp_path: Path) -> None:
    """A runner killed in the middle of a line leaves half of it; the next one cuts it off and goes on behind it."""
    folder = Folder(tmp_path)
    folder.order("a", "b", "last")
    whole = json.dumps({"t": "visit", "id": "a"}) + "\n" + json.dumps({"t": "begin", "id": "b"}) + "\n"
    (tmp_path / "out.jsonl").write_text(whole + '{"t": "visit", "id": "b", "warm')
    folder.serve()
    assert folder.measured == ["b", "last"]
    assert (tmp_path / "out.jsonl").read_text().startswith(whole + '{"t": "hello"')
    assert folder.serve() == 0
    assert folder.kinds().count("end") == 1, "after its end a session stays ended"


def test_a_visit_that_kills_the_runner_is_given_up(tmp_path: Path) -> None:
    """Twice begun and never ended: it takes the runner down, so it is not tried a third time."""
    folder = Folder(tmp_path)
    folder.order("bad", "last")
    (tmp_path / "out.jsonl").write_text((json.dumps({"t": "begin", "id": "bad"}) + "\n") * 2)
    folder.serve()
    assert folder.measured == ["last"]
    assert "died" in next(record["reason"] for record in folder.records() if record["t"] == "failed")


def test_a_damaged_or_missing_model_is_told(tmp_path: Path) -> None:
    """A model that is not what was sent, or not there, fails; the others go on."""
    folder = Folder(tmp_path)
    folder.order("a", "b", "last")
    (tmp_path / "models" / "a").write_bytes(b"other")
    (tmp_path / "models" / "b").unlink()
    folder.serve()
    reasons = [record["reason"] for record in folder.records() if record["t"] == "failed"]
    assert reasons == ["the model did not arrive whole", "the model is not there"]
    assert folder.measured == ["last"]


def test_only_one_runner_works_in_a_folder(tmp_path: Path) -> None:
    """A second one, started because the link broke while the first was started, leaves at once."""
    folder = Folder(tmp_path)
    first = threading.Thread(target=lambda: folder.serve(idle_limit_s=1.0))
    first.start()
    while not (tmp_path / "out.jsonl").exists():
        time.sleep(0.01)
    assert folder.serve(idle_limit_s=1.0) == 0
    first.join()
    assert folder.kinds().count("hello") == 1
    assert "beat" in folder.kinds()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_session_at_a_time_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second says that it waits, and for whom; it begins when the first has ended, or has no more orders."""
    monkeypatch.setattr(runner, "TOLD_S", 0.05)
    first, second = Folder(tmp_path / "session-1"), Folder(tmp_path / "session-2")
    first.order("a")
    second.order("b")
    ours, theirs = threading.Thread(target=first.serve), threading.Thread(target=second.serve)
    ours.start()
    wait_for(lambda: first.measured)
    theirs.start()
    wait_for(lambda: (second.path / "out.jsonl").exists() and "beat" in second.kinds()[2:])
    assert second.records()[1]["holder"] == str(os.getpid())
    assert second.measured == []
    first.order("last")
    ours.join()
    wait_for(lambda: second.measured)
    second.order("c")
    wait_for(lambda: len(second.measured) == 2)
    monkeypatch.setattr(runner, "HELD_S", 0.05)
    third = Folder(tmp_path / "session-3")
    third.order("last")
    assert third.serve() == 0
    second.order("last")
    theirs.join()
    assert second.measured == ["b", "c", "last"]
    assert {path.name for path in tmp_path.iterdir()} == {"session-1", "session-2", "session-3"}


@pytest.mark.parametrize(("stop", "status"), [(False, "busy"), (True, "stopped")])
def test_a_device_that_stays_busy(tmp_path: Path, *, stop: bool, status: str) -> None:
    """It is waited for so long and no longer, and not at all once nobody wants to measure."""
    other, folder = Alone(tmp_path / "measuring.lock"), Folder(tmp_path / "session")
    folder.order("a")
    if stop:
        (folder.path / "stop").touch()
    assert other.take()
    folder.serve(busy_limit_s=0.1)
    assert (folder.measured, folder.records()[-1]["status"]) == ([], status)
    assert other.take(), "it has it still"
    other.leave()


def test_a_killed_runner_leaves_no_lock(tmp_path: Path) -> None:
    """Nor does the process live on in which it measured."""

    def measure() -> dict[str, Any]:
        time.sleep(60)
        return {}

    pid, ours = os.fork(), Alone(tmp_path / "measuring.lock")
    if pid == 0:
        with suppress(BaseException):
            ours.take()
            forked.in_child(measure, 60, (tmp_path / "beats").touch)
        os._exit(0)
    wait_for((tmp_path / "beats").exists)
    assert (ours.take(), ours.holder()) == (False, str(pid))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_for(ours.take)
    ours.leave()


@pytest.mark.parametrize(
    ("alive", "age_s", "runs", "goes"),
    [
        (None, 0, False, False),
        (None, 60, False, True),
        (None, 60, True, False),
        ("held", 0, False, False),
        ("free", 0, False, True),
        ("free", 0, True, False),
        ("not there", 0, False, True),
    ],
)
def test_what_dead_sessions_left(tmp_path: Path, alive: str | None, age_s: float, *, runs: bool, goes: bool) -> None:
    """It goes at the next start if its host is gone, or has let much time pass; not while a runner lives in it."""
    left, folder = Folder(tmp_path / "session-left"), Folder(tmp_path / "session-new")
    for name in ("held", "free"):
        (tmp_path / name).touch()
    (left.path / "job.json").write_text(json.dumps(JOB | {"alive": alive and str(tmp_path / alive)}))
    (left.path / "lock").touch()
    (left.path / "out.jsonl").touch()
    then = time.time() - age_s
    for path in (*left.path.iterdir(), left.path):
        os.utime(path, (then, then))
    folder.order("last")
    with (tmp_path / "held").open("rb") as held, (left.path / "lock").open("rb") as lock:
        assert try_lock(held)
        assert not runs or try_lock(lock)
        folder.serve(idle_limit_s=30)
    assert left.path.exists() is not goes
    assert folder.measured == ["last"]


def test_a_runner_whose_host_is_gone_ends(tmp_path: Path) -> None:
    """At once, where nobody could fetch what it measures."""
    folder = Folder(tmp_path / "session")
    folder.order("a")
    assert folder.serve(alive=str(tmp_path / "nothing")) == 0
    assert (folder.measured, folder.records()[-1]["status"]) == ([], "stopped")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing more can be written, the reserve is given back so that the end can be."""
    folder = Folder(tmp_path)
    folder.order("a", "b")
    used = [0]

    def write(session: runner.Session, line: bytes) -> None:
        # A disk that holds what was written so far, the reserve, and not one visit more.
        if b'"b"' in line and (tmp_path / "reserve").exists():
            raise OSError(28, "No space left on device")
        used[0] += session.out.write(line) or 0

    monkeypatch.setattr(runner.Session, "_append", write)
    assert folder.serve() == 1
    assert folder.records()[-1]["status"] == "disk full"
    assert folder.kinds()[:3] == ["hello", "begin", "visit"]


def test_as_a_program(tmp_path: Path) -> None:
    """The file itself, as it is copied: facts, and a real model measured in a forked process."""
    source = Path(vitals.__file__).read_bytes()
    done = subprocess.run(  # the program under test
        [sys.executable, "-", "facts", str(tmp_path)], input=source, capture_output=True, check=True, timeout=60
    )
    facts = json.loads(done.stdout)
    assert facts["cores"] == os.cpu_count()
    assert "onnxruntime" in facts["runtimes"]

    folder = Folder(tmp_path / "job")
    content = small_onnx((8,))
    (folder.path / "models" / "m.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    order = {"id": "m", "file": "models/m.onnx", "sha256": digest, "keep": False, **PLAN}
    (folder.path / "orders-0001.jsonl").write_text(json.dumps(order) + "\n" + json.dumps({"count": 1}) + "\n")
    (folder.path / "job.json").write_text(json.dumps(JOB | {"idle_limit_s": 0.3}))
    copied = folder.path / "runner.pyz"
    copied.write_bytes(runner_archive())
    # -I: nothing but the archive and the installed runtime; edgewidth itself is not on a device.
    subprocess.run([sys.executable, "-I", str(copied), "serve", str(folder.path), "5000"], check=True, timeout=60)
    made = next(record for record in folder.records() if record["t"] == "visit")
    assert len(made["runs_ns"]) >= 3
    assert min(made["runs_ns"]) > 0
    assert 5000 <= made["started_s"] < 5060


@pytest.mark.parametrize(
    ("prints", "flags", "unknown"),
    [
        ("throttled=0x50005", ["under-voltage", "throttled", "under-voltage since boot", "throttled since boot"], None),
        ("throttled=0x0", [], None),
        ("VCHI initialization failed", [], "VCHI initialization failed"),
        ("Can't open device file: /dev/vcio; exit 255", [], "Can't open device file: /dev/vcio"),
        ("throttled=0x0\\377", [], "throttled=0x0\ufffd"),
        ("", [], "vcgencmd says nothing"),
    ],
)
def test_a_board_that_cannot_tell_its_throttling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, flags: list[str], unknown: str | None
) -> None:
    """Without the right to ask, or with a stray byte in the answer: it says so, and the state is told."""
    text, _, end = prints.partition("; ")
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\nprintf "{text}"\n{end}\n')
    program.chmod(0o755)
    monkeypatch.setattr(vitals, "_vcgencmd", lambda: str(program))
    state = DeviceState.model_validate(vitals.read_state())
    assert (list(state.throttled), state.throttling_unknown) == (flags, unknown)
    item = check._throttling(state)
    assert item.ok is (not flags)
    assert item.finding == (f"cannot tell: {unknown}" if unknown else ", ".join(flags) or "none seen")
    assert ("usermod -aG video" in (item.remedy or "")) is (unknown is not None)
