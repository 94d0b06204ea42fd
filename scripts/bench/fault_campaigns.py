"""Campaigns of measurements that are broken at random moments, and what is left of them when they are done.

A campaign runs in a process of its own, over a real link or on the fake device, whose visits take no time. Whatever
passes between the program and the device, and every statement of its store, is a moment at which something may break;
``Break`` says what and when. When the program stops, it is called again, as a person would.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.fake.transport import FakeTransport
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.errors import DeviceError, EdgewidthError, TransientDeviceError
from edgewidth.records.measurement import Engine, Precision, Runtime, Setting, Visit

CALLS = 8
"""A person calls again this often at most."""
ROUNDS = 4


def one_layer(width: int) -> bytes:
    """A convolution of this width."""
    kernel = numpy_helper.from_array(np.zeros((width, 16, 3, 3), np.float32), "kernel")
    shapes = [("input", [1, 16, 32, 32]), ("output", [1, width, 32, 32])]
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    node = helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "one", [source], [target], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


MODELS = [Model(str(8 * i), partial(one_layer, 8 * i)) for i in range(1, 6)]


class Break(NamedTuple):
    """One thing that breaks: ``kind``, at the ``at``-th moment of a call of the program, for ``calls`` of the link."""

    kind: str
    at: int
    calls: int


class Found(NamedTuple):
    """What a campaign came to: how much was broken in it, and how many visits were lost or doubled."""

    injected: int
    lost: int
    doubled: int


class Place(NamedTuple):
    """Where a campaign happens. ``open_link`` opens the device; its files are in ``device`` where these can be seen."""

    folder: Path
    policy: Policy
    open_link: Callable[[], Device]
    device: Path | None
    limit_s: float = 60.0
    """So long may one call of the program take."""

    @property
    def store(self) -> Path:
        """The store of its measurements."""
        return self.folder / "m.sqlite"

    @property
    def struck(self) -> Path:
        """The file that grows by a byte with every break that took place, whatever became of the program."""
        return self.folder / "struck"

    @property
    def kept(self) -> Path:
        """Where the outputs of runners are kept before they are removed from the device."""
        return self.folder / "kept"


LINK = ("put", "read", "start", "run")
"""The calls of a link."""
NEEDS = {"device disk": ("put",), "host disk": LINK}
"""At which moments alone something can break: where files are written, and between the store's statements."""
FAST = Policy(
    rounds=ROUNDS,
    visit_ms=5,
    warmup_min_ms=1,
    warmup_max_ms=5,
    remeasure=0,
    silence_s=1.0,
    patience_s=0.4,
    retry_s=0.01,
    probe_loops=0,
)
"""For the fake device, which needs no time."""
REAL = FAST.model_copy(update={"visit_ms": 15.0, "warmup_max_ms": 15.0, "silence_s": 2.0, "patience_s": 3.0})
"""For a real link."""


def fake_place(folder: Path, seed: int) -> Place:
    """The fake device, its files in the campaign's folder."""

    def open_link() -> Device:
        link = FakeTransport(folder / "device", seed=seed)
        return Device(DeviceProfile(name="fake", transport="fake"), link, link.facts())

    return Place(folder, FAST, open_link, folder / "device")


def real_place(folder: Path, profile: DeviceProfile, policy: Policy = REAL, limit_s: float = 120.0) -> Place:
    """A device that is reached over a real link; its files are on this machine where its folder is named."""
    stack = ExitStack()  # never closed: the program that opens it ends with its process
    workdir = Path(profile.workdir) if profile.workdir else None
    return Place(folder, policy, lambda: stack.enter_context(open_device(profile)), workdir, limit_s)


def setting_of(device: Device) -> Setting:
    """What is measured."""
    return device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)


class Breaking:
    """Counts moments, and breaks what is to break.

    Wraps a device's transport, and listens to the statements of a store.
    """

    def __init__(self, place: Place, breaks: list[Break]) -> None:
        self._place, self._left = place, sorted(breaks, key=lambda one: one.at)
        self._moments = 0
        self._failing: list[bool] = []
        self._store: MeasurementStore | None = None

    def wrap(self, device: Device) -> Device:
        """The device with a link that may break."""
        return device._replace(transport=_Link(device.transport, self))

    def listen(self, store: MeasurementStore) -> None:
        """Take the store's statements for moments too."""
        self._store = store
        store._connection.set_trace_callback(lambda _: self.moment("store"))  # noqa: SLF001 - behind its back

    def moment(self, name: str) -> None:
        """Something is about to happen: a call of the link by its name, or a statement of the store."""
        self._moments += 1
        while self._left and self._left[0].at <= self._moments:
            one = self._left[0]
            if name not in NEEDS.get(one.kind, (name,)):
                return  # it waits for a moment at which it can be met
            self._left.pop(0)
            with self._place.struck.open("ab") as stream:
                stream.write(b"x")
            self._strike(one)

    def call(self, inner: Callable[..., Any], name: str, *words: Any, **options: Any) -> Any:
        """One call of the link, which may fail before it was made or when its answer is lost."""
        self.moment(name)
        if name == "run" and words[0][0] == "rm":
            self._keep(words[0][-1])
        if self._failing:
            if self._failing.pop():
                with suppress(TransientDeviceError):
                    inner(*words, **options)
            raise TransientDeviceError("The device does not answer.")
        return inner(*words, **options)

    def _strike(self, one: Break) -> None:
        strikes: dict[str, Callable[[], None]] = {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "cut": lambda: self._fail(one.calls, made=False),
            "answers lost": lambda: self._fail(one.calls, made=True),
            "reboot": lambda: self._reboot(one.calls),
            "runner killed": lambda: self._each_output(kill_runner),
            "garbage": lambda: self._each_output(spoil),
            "host disk": self._fill_host,
            "device disk": fill_device,
            "clock": step_clock,
        }
        strikes[one.kind]()

    def _fail(self, calls: int, *, made: bool) -> None:
        """The next calls fail; ``made``: only their answers are lost."""
        self._failing = [made] * calls

    def _reboot(self, calls: int) -> None:
        """The device is away for some calls, and has forgotten its files."""
        self._fail(calls, made=False)
        for session in self._sessions():
            session.rename(session.with_name(f"forgotten-{time.monotonic_ns()}"))

    def _each_output(self, strike: Callable[[Path], object]) -> None:
        for session in self._sessions():
            if (session / "out.jsonl").exists():
                strike(session / "out.jsonl")

    def _fill_host(self) -> None:
        """The file of measurements may grow no more."""
        assert self._store is not None  # noqa: S101 - this tells mypy
        connection = self._store._connection  # noqa: SLF001 - behind its back
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def _sessions(self) -> list[Path]:
        return sorted(self._place.device.glob("session-*")) if self._place.device else []

    def _keep(self, folder: str) -> None:
        output = Path(folder) / "out.jsonl"
        if self._place.device and output.exists():
            self._place.kept.mkdir(exist_ok=True)
            shutil.copy(output, self._place.kept / f"{Path(folder).name}.jsonl")


class _Link:
    """A transport through which ``Breaking`` goes."""

    def __init__(self, inner: Any, breaking: Breaking) -> None:
        self._inner, self._breaking = inner, breaking

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in LINK:
            return attribute
        return partial(self._breaking.call, attribute, name)


def spoil(output: Path) -> None:
    """Something else writes to a runner's output."""
    with output.open("ab") as stream:
        stream.write(random.randbytes(40) + b"\n")


def fill_device() -> None:
    """What a put is told by a device whose disk is full."""
    raise DeviceError("The models could not be written: no space left on device.")


def step_clock() -> None:
    """The clock of the host is set, by hours or by years."""
    now, shift_s = time.time, random.choice([-1e8, -3600.0, 3600.0, 1e8])
    time.time = lambda: now() + shift_s


def kill_runner(output: Path) -> None:
    """Signal 9 to the runner that writes this, and to its child."""
    with suppress(ProcessLookupError, IndexError, OSError, ValueError, KeyError):
        hellos = [line for line in output.read_bytes().splitlines() if line.startswith(b'{"t": "hello"')]
        pid = json.loads(hellos[-1])["pid"]
        if pid != os.getpid():  # the fake device's runner is a thread
            os.killpg(pid, signal.SIGKILL)


def program(place: Place, breaks: list[Break]) -> int:
    """One call of the program: 0, it is done; 3, it stopped with an error."""
    breaking = Breaking(place, breaks)
    try:
        with MeasurementStore(place.store) as store:
            breaking.listen(store)
            device = breaking.wrap(place.open_link())
            measure(device, setting_of(device), MODELS, store, policy=place.policy)
    except EdgewidthError:
        return 3
    return 0


@contextmanager
def called(place: Place, breaks: list[Break], most_bytes: int | None = None) -> Iterator[int]:
    """A call of the program in a process of its own, which is ended with the block; its process id.

    ``most_bytes``: no file grows beyond that, as on a full disk.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        status = 70
        with suppress(BaseException):
            status = program(place, breaks)
        os._exit(status)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def ended(child: int, limit_s: float) -> int | None:
    """The status of a call that ended within its time: negative for a signal; None: it did not."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(code)
        time.sleep(0.005)
    return None


class HungError(Exception):
    """A call of the program that did not end in its time."""


def call(place: Place, breaks: list[Break], most_bytes: int | None = None) -> int:
    """One call, to its end; see ``called``.

    Raises:
        HungError: It did not come.
    """
    with called(place, breaks, most_bytes) as child:
        status = ended(child, place.limit_s)
    if status is None:
        raise HungError
    if status not in {0, 3, -signal.SIGKILL}:
        raise RuntimeError(f"the program ended with {status}")
    return status


def stored(place: Place) -> dict[str, Visit]:
    """The visits in the store, by name; what no other connection may change meanwhile."""
    if not place.store.exists():
        return {}
    with MeasurementStore(place.store) as store:
        return {name: visit for setting in store.settings() for name, visit in store.named_visits(setting)}


def campaign(place: Place, breaks: list[list[Break]], between: Callable[[Place], None] = lambda _: None) -> Found:
    """Call the program until it is done, each time with some breaks; ``between`` happens where it was killed.

    Raises:
        HungError: A call did not end.
    """
    lost, before = 0, dict[str, Visit]()
    for number in range(CALLS):
        status = call(place, breaks[number] if number < len(breaks) else [])
        if status == -signal.SIGKILL:
            between(place)
        try:
            now = stored(place)
        except EdgewidthError:  # told to be damaged: a person removes it, as the message says
            lost += len(before) if between is not torn else 0
            for path in place.folder.glob("m.sqlite*"):
                path.unlink()
            now, before = {}, {}
        if between is not torn:  # what a power cut takes of the last writes is measured again
            lost += sum(now.get(name) is None or now[name].runs_ns != visit.runs_ns for name, visit in before.items())
        before = now
        if status == 0 and number >= len(breaks) - 1:
            break
    return judged(place, lost, tearing=between is torn)


def judged(place: Place, lost: int, *, tearing: bool = False) -> Found:
    """What is in the store in the end, held against what was to be there and what runners wrote.

    ``tearing``: the store itself was damaged on the way.
    """
    visits = stored(place)
    counts = Counter(visit.model for visit in visits.values())
    lost += sum(max(0, ROUNDS - counts[model.key]) for model in MODELS)
    doubled = sum(max(0, counts[model.key] - ROUNDS) for model in MODELS)
    for output in place.kept.glob("*.jsonl"):
        made = made_in(output.read_bytes())
        doubled += sum(len(times) - 1 for times in made.values())
        session = output.stem
        ours = {name: list(visit.runs_ns) for name, visit in visits.items() if visit.session == session}
        # An output is removed when all of it is stored; a power cut may take from the store what was the last.
        lost += sum(ours[name] not in times if name in ours else not tearing for name, times in made.items())
    injected = place.struck.stat().st_size if place.struck.exists() else 0
    return Found(injected, lost, doubled)


def made_in(output: bytes) -> dict[str, list[list[int]]]:
    """The runs of each visit, by what one session's runners wrote."""
    made: dict[str, list[list[int]]] = {}
    for line in output.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            if record["t"] == "visit":
                made.setdefault(record["id"], []).append(record["runs_ns"])
    return made


def torn(place: Place) -> None:
    """A power cut: of the store's last writes some did not reach the disk."""
    log = place.store.with_name("m.sqlite-wal")
    if log.exists() and (size := log.stat().st_size):
        content = bytearray(log.read_bytes())
        at = random.randrange(max(0, size - 8192), size)
        if random.random() < 0.5:
            del content[at:]
        else:
            content[at : at + 512] = bytes(min(512, size - at))
        log.write_bytes(content)
    elif place.store.exists() and random.random() < 0.5:
        content = bytearray(place.store.read_bytes())
        content[-4096:] = bytes(4096)
        place.store.write_bytes(content)
    place.store.with_name("m.sqlite-shm").unlink(missing_ok=True)


def side_by_side(places: list[Place], breaks: list[Break]) -> Found:
    """Several programs at once: hosts with stores of their own on one device, or two that share a store.

    Raises:
        HungError: A call did not end.
    """
    for number in range(CALLS):
        broken = breaks if number == 0 else []
        with ExitStack() as stack:
            children = [stack.enter_context(called(place, broken)) for place in places]
            statuses = [ended(child, place.limit_s) for child, place in zip(children, places, strict=True)]
        if None in statuses:
            raise HungError
        if all(status == 0 for status in statuses):
            break
    every = [judged(place, 0) for place in {place.store: place for place in places}.values()]
    return Found(1 + every[0].injected, sum(one.lost for one in every), sum(one.doubled for one in every))


def old_store(place: Place, original: Path, breaks: list[Break], room: int | None) -> Found:
    """A store of an earlier version, whose migration is broken and begun again: all of its visits are still there.

    ``room``: how many bytes the disk has left meanwhile; None: as many as are wanted.

    Raises:
        HungError: A call did not end.
    """
    shutil.copy(original, place.store)
    with sqlite3.connect(original) as connection:
        [count] = connection.execute("SELECT count(*) FROM blocks").fetchone()
    call(place, breaks, None if room is None else original.stat().st_size + room)
    call(place, [])
    with sqlite3.connect(place.store) as connection:
        [kept] = connection.execute("SELECT count(*) FROM visits WHERE setting = 1").fetchone()
    found = judged(place, 0)
    found = found._replace(injected=found.injected + (room is not None))
    return found._replace(lost=found.lost + max(0, count - kept), doubled=found.doubled + max(0, kept - count))
