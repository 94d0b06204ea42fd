"""Killed runners, killed programs, cut links, nonsense: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_onnx import onnx_model

from edgewidth.devices.device import Device
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.session import Model
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.reach.local import LocalTransport
from edgewidth.errors import DeviceError, TransientDeviceError
from edgewidth.records.measurement import Accelerator, DeviceState, Engine, OperatorWork, Precision, Runtime, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUICK = Policy(
    rounds=4, visit_ms=30, warmup_min_ms=3, warmup_max_ms=30, remeasure=0, silence_s=1.0, patience_s=1, retry_s=0.01
)
MODELS = [onnx_model(8 * i) for i in range(1, 6)]


class Broken:
    """A transport some of whose calls fail; everything else is that of the transport within."""

    def __init__(self, inner: Any, before: Callable[[str], None]) -> None:
        self._inner, self._before = inner, before

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in {"put", "read", "start", "run", "get"}:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self._before(name)
            return attribute(*args, **kwargs)

        return call


def onnx_setting(device: Device) -> Setting:
    return device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)


def check_complete(
    store: MeasurementStore, setting: Setting, models: Sequence[Model] = MODELS, rounds: int = 4
) -> None:
    """Every model has exactly its rounds, each from a visit of its own."""
    visits = store.named_visits(setting)
    assert Counter(visit.model for _, visit in visits) == {model.key: rounds for model in models}
    assert len({visit.started_s for _, visit in visits}) == len(visits)


def test_a_link_that_breaks_now_and_then(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """A third of all calls fails: they are tried again, and the result is whole."""
    rng = random.Random(0)

    def sometimes(name: str) -> None:
        if rng.random() < 0.33:
            raise TransientDeviceError(f"The link broke in {name}.")

    fake = make_fake()
    fake = fake._replace(transport=Broken(fake.transport, sometimes))
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, onnx_setting(fake), MODELS, store, policy=QUICK)
        check_complete(store, onnx_setting(fake))


def test_a_link_that_stays_broken_ends_it(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """After so many tries the error is raised; what came before is kept, and used when called again."""
    fake = make_fake()
    setting = onnx_setting(fake)
    calls = [0]

    def cut_later(name: str) -> None:
        calls[0] += name == "read"
        if calls[0] > 3:
            raise TransientDeviceError("The link broke.")

    cut = fake._replace(transport=Broken(fake.transport, cut_later))
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        with pytest.raises(TransientDeviceError, match=r"The link broke\. It was waited for, 1 s long\.") as caught:
            measure(cut, setting, MODELS, store, policy=QUICK)
        assert "start the same command again" in (caught.value.remedy or "")
        measure(fake, setting, MODELS, store, policy=QUICK)
        check_complete(store, setting)


def runner_pids(folder: Path) -> list[int]:
    """The runners at work in sessions below this folder."""
    texts = [path.read_text() for path in folder.glob("session-*/out.jsonl")]
    hellos = [json.loads(line) for text in texts for line in text.splitlines() if '"hello"' in line[:20]]
    return [hello["pid"] for hello in hellos]


def kill_soon(folder: Path, after_visits: int) -> threading.Thread:
    """A thread that kills the runner and its child with signal 9 once it has made so many visits."""

    def work() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            texts = [path.read_text() for path in folder.glob("session-*/out.jsonl")]
            if any(text.count('"visit"') >= after_visits for text in texts):
                os.killpg(runner_pids(folder)[-1], signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_killed_runner_goes_on_where_it_was(local: Device, tmp_path: Path) -> None:
    """Signal 9 in the middle of a campaign: the runner is started again, in the same folder."""
    killer = kill_soon(tmp_path / "device", 6)
    setting = onnx_setting(local)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(local, setting, MODELS, store, policy=QUICK)
        killer.join()
        check_complete(store, setting)


@pytest.mark.parametrize("kept", [False, True])
def test_a_rebooted_device(local: Device, tmp_path: Path, *, kept: bool) -> None:
    """The runner is dead, perhaps its folder gone: what is missing is measured without waiting for a silent runner."""
    setting = onnx_setting(local)
    reads = [0]

    def reboot(name: str) -> None:
        reads[0] += name == "read"
        if reads[0] == 12:
            for pid in runner_pids(tmp_path / "device"):
                os.killpg(pid, signal.SIGKILL)
            for path in (tmp_path / "device").glob("session-*" if not kept else "nothing"):
                path.rename(tmp_path / "lost")
        if 12 <= reads[0] < 15 and name == "read":
            raise TransientDeviceError("The device does not answer.")

    broken = local._replace(transport=Broken(local.transport, reboot))
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(broken, setting, MODELS, store, policy=QUICK.model_copy(update={"silence_s": 600}))
        check_complete(store, setting)


def test_no_visit_begins_when_the_time_is_over(local: Device, tmp_path: Path) -> None:
    """What was measured is there, nothing is left on the device, and the next call measures the rest."""
    setting = onnx_setting(local)
    policy = QUICK.model_copy(update={"rounds": 100})
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        begin = time.monotonic()
        measure(local, setting, MODELS, store, policy=policy, until=begin + 2)
        assert time.monotonic() - begin < 15
        made = len(store.named_visits(setting))
        assert 0 < made < 500
        assert list((tmp_path / "device").iterdir()) == []
        measure(local, setting, MODELS, store, policy=policy, until=begin)
        assert len(store.named_visits(setting)) == made


def test_an_interrupt_keeps_what_was_measured_and_leaves_nothing(local: Device, tmp_path: Path) -> None:
    """The visit in progress ends, and is fetched."""
    setting = onnx_setting(local)
    reads = [0]

    def interrupt(name: str) -> None:
        reads[0] += name == "read"
        if reads[0] == 20 and name == "read":
            raise KeyboardInterrupt

    broken = local._replace(transport=Broken(local.transport, interrupt))
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            measure(broken, setting, MODELS, store, policy=QUICK.model_copy(update={"rounds": 100}))
        assert time.monotonic() - begin < 15
        assert store.named_visits(setting)
        assert list((tmp_path / "device").iterdir()) == []
        assert store.claim(setting) is None


HOST = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_faults import MODELS, QUICK, onnx_setting
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.device import open_device
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.devices.measure.store import MeasurementStore
with open_device(DeviceProfile(name="local", transport="local", workdir=sys.argv[1])) as device:
    measure(device, onnx_setting(device), MODELS, MeasurementStore(Path(sys.argv[2])), policy=QUICK)
"""


def test_a_killed_program_loses_nothing(local: Device, tmp_path: Path) -> None:
    """Signal 9 to the host program: the runner works on, and the next program fetches what it made."""
    here = Path(__file__).parent
    words = [str(tmp_path / "device"), str(tmp_path / "m.sqlite"), str(here), str(here.parent)]
    host = subprocess.Popen([sys.executable, "-c", HOST, *words])  # ours, in tests
    out = deadline_wait(lambda: next((tmp_path / "device").glob("session-*/out.jsonl"), None))
    deadline_wait(lambda: out.read_text().count('"visit"') >= 3)
    host.kill()
    host.wait()
    deadline_wait(lambda: out.read_text().count('"visit"') >= 4)
    setting = onnx_setting(local)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        before = {visit for visit, _ in store.named_visits(setting)}
        made = {json.loads(line)["id"] for line in out.read_text().splitlines() if '"visit"' in line[:20]}
        measure(local, setting, MODELS, store, policy=QUICK)
        check_complete(store, setting)
        assert before <= {visit for visit, _ in store.named_visits(setting)}
        starts = {name: visit.started_s for name, visit in store.named_visits(setting)}
    first = min(starts[visit] for visit in made)
    assert all(starts[visit] - first < 30 for visit in made), "what it made then is what is stored"


def spans(store: MeasurementStore, setting: Setting) -> list[tuple[float, float]]:
    """From when to when every visit ran."""
    visits = [visit for _, visit in store.named_visits(setting)]
    return [(one.started_s, one.started_s + sum([*one.warmup_ns, *one.runs_ns]) / 1e9) for one in visits]


def test_programs_measure_a_device_one_after_the_other(local: Device, tmp_path: Path) -> None:
    """With stores of their own, which know nothing of each other; one that would wait for too long is told."""
    setting, policy = onnx_setting(local), QUICK.model_copy(update={"rounds": 8, "patience_s": 60})
    found: list[list[tuple[float, float]]] = []

    def program(name: str) -> None:
        device = local._replace(transport=LocalTransport(tmp_path / "device", sys.executable))
        with MeasurementStore(tmp_path / name) as store:
            measure(device, setting, MODELS, store, policy=policy)
            found.append(spans(store, setting))

    threads = [threading.Thread(target=program, args=(name,)) for name in ("a.sqlite", "b.sqlite")]
    for thread in threads:
        thread.start()
    deadline_wait((tmp_path / "device" / "measuring.lock").exists)
    deadline_wait(lambda: len(list((tmp_path / "device").glob("session-*/out.jsonl"))) == 2)
    with (
        MeasurementStore(tmp_path / "c.sqlite") as store,
        pytest.raises(
            DeviceError, match=r"local is being measured by another program \(process \d+ there\)\."
        ) as caught,
    ):
        measure(local, setting, MODELS, store, policy=QUICK.model_copy(update={"patience_s": 0.1}))
    assert caught.value.exit_code == 3
    for thread in threads:
        thread.join()
    [first, second] = sorted(found)
    assert len(first) == len(second) == 40
    assert max(end for _, end in first) < min(begin for begin, _ in second)
    assert list((tmp_path / "device").iterdir()) == []


def test_a_killed_program_whose_store_is_temporary_leaves_nothing(local: Device, tmp_path: Path) -> None:
    """As ``validate`` has one: what ran for it ends, and goes at the next start."""
    here, folder = Path(__file__).parent, tmp_path / "device"
    words = [str(folder), "", str(here), str(here.parent)]
    code = HOST.replace("Path(sys.argv[2])", 'stack.enter_context(temporary_folder()) / "m.sqlite"')
    code = (
        "from contextlib import ExitStack\nfrom edgewidth.files import temporary_folder\nstack = ExitStack()\n" + code
    )
    for _ in range(2):
        host = subprocess.Popen([sys.executable, "-c", code, *words])  # ours, in tests
        deadline_wait(lambda: any('"visit"' in one.read_text() for one in folder.glob("session-*/out.jsonl")))
        host.kill()
        host.wait()
    assert list(folder.glob("session-*"))
    deadline_wait(lambda: all('"end"' in one.read_text() for one in folder.glob("session-*/out.jsonl")))
    setting = onnx_setting(local)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(local, setting, MODELS, store, policy=QUICK.model_copy(update={"patience_s": 60}))
        check_complete(store, setting)
    assert list(folder.iterdir()) == []


def deadline_wait(condition: Callable[[], Any], limit_s: float = 30) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


class Liar:
    """A transport whose device prints what it likes instead of the runner's output."""

    def __init__(self, inner: Any, printed: Callable[[int], bytes]) -> None:
        self._inner, self._printed = inner, printed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def start(self, argv: Sequence[str], *, log: str) -> None:
        """Nothing is started."""

    def read(self, path: str, offset: int, *, max_bytes: int = 1000) -> bytes:
        del path
        return self._printed(offset)[:max_bytes]


BEAT = b'{"t": "beat", "at_s": 1.0}\n'


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        (lambda _: b"segmentation fault\n", "no runner writes"),
        (lambda _: b'{"t": "hello", "version": 99}\n', "version 99"),
        (lambda _: b"\0" * 10_000_000, "without an end of line"),
        (lambda _: BEAT * 10_000, "does not end"),
        (
            lambda _: b'{"t": "end", "at_s": 1.0, "status": "disk full", "detail": "", "code": 1}\n',
            "disk of .* is full",
        ),
        (lambda _: b'{"t": "end", "at_s": 1.0, "status": "no runtime", "detail": "x", "code": 1}\n', "does not work"),
    ],
)
def test_a_device_that_prints_nonsense(
    printed: Callable[[int], bytes],
    says: str,
    make_fake: Callable[..., Device],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Garbage, another version, gigabytes, an endless stream: one clear error each."""
    monkeypatch.setattr("edgewidth.devices.measure.campaign._MAX_OUTPUT_BYTES", 1_000_000)
    fake = make_fake()
    fake = fake._replace(transport=Liar(fake.transport, printed))
    with MeasurementStore(tmp_path / "m.sqlite") as store, pytest.raises(DeviceError, match=says):
        measure(fake, onnx_setting(fake), MODELS, store, policy=QUICK)


def test_a_model_that_arrives_damaged_is_sent_again(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """The digest tells, and the visits are made with the whole file."""
    fake = make_fake()
    put, damaged = fake.transport.put, list[str]()

    def cut(files: Mapping[str, Path | bytes]) -> None:
        first = next((name for name in files if "/models/" in name), None)
        if first is not None and not damaged:
            damaged.append(first)
            files = {**files, first: b"cut"}
        put(files)

    fake.transport.put = cut  # type: ignore[method-assign]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, onnx_setting(fake), MODELS, store, policy=QUICK)
        check_complete(store, onnx_setting(fake))
    assert damaged


def test_what_a_killed_program_left_is_known_as_well(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """Its visits tell which operators were left; what these cost is told by the models of the next program."""
    fake = make_fake()
    engine = Engine(runtime=Runtime.ONNXRUNTIME, accelerator=Accelerator.GPU)
    setting = fake.setting(engine, Precision.FLOAT32, 1)
    work = [OperatorWork("Conv", 300), OperatorWork("Gemm", 100)]
    placed = {"operators": 2, "accelerated": 1, "left": ["Gemm"], "left_at": [1]}
    state = DeviceState().model_dump()
    visit = {"t": "visit", "id": "0@8", "started_s": 1e9, "cooled_s": 0.0, "warmup_ns": [9], "runs_ns": [9] * 9}
    visit |= {"before": state, "after": state, "own_s": 0.0, "placed": placed}
    folder = f"{fake.transport.workdir}/session-left"
    lines = [visit, {"t": "end", "status": "stopped", "detail": "", "code": 0}]
    text = "".join(json.dumps({"at_s": 1e9, **line}) + "\n" for line in lines)
    fake.transport.put({f"{folder}/job.json": b"{}", f"{folder}/out.jsonl": text.encode()})
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.claim(setting)
        store.open_session(setting, folder)
        store.release(setting, finished=False)
        model = MODELS[0]._replace(work=lambda _: work)
        assert model.key == "8"
        measure(fake, setting, [model], store, policy=QUICK)
        ran = store.visits(setting)["8"][0].ran
    assert ran is not None
    assert ran.macs_percent == 75.0


def test_a_runner_that_never_comes_up(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """Silence, and every new start is silent too: it ends, with a remedy."""
    fake = make_fake()
    fake = fake._replace(transport=Liar(fake.transport, lambda _: b""))
    policy = QUICK.model_copy(update={"silence_s": 0.05, "restarts": 3})
    with MeasurementStore(tmp_path / "m.sqlite") as store, pytest.raises(TransientDeviceError) as caught:
        measure(fake, onnx_setting(fake), MODELS, store, policy=policy)
    assert caught.value.remedy


def test_a_model_that_does_not_run(local: Device, tmp_path: Path) -> None:
    """A file that is no model: the error names it and says why; the other models' visits are kept."""
    setting = onnx_setting(local)
    broken = Model("broken", lambda: b"not a model")
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        with pytest.raises(DeviceError, match="could not run broken"):
            measure(local, setting, [*MODELS, broken], store, policy=QUICK)
        measure(local, setting, MODELS, store, policy=QUICK)
        check_complete(store, setting)


def test_no_space_for_models(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """What the device has no room to keep is sent again for each visit."""
    fake = make_fake()
    small = fake.facts.model_copy(update={"free_bytes": 20_000})
    profile = fake.profile.model_copy(update={"min_free_mb": 0})
    sent: list[str] = []

    class Counting(Broken):
        def put(self, files: Mapping[str, Path | bytes]) -> None:
            sent.extend(name for name in files if "/models/" in name)
            self._inner.put(files)

    fake = Device(profile, Counting(fake.transport, lambda _: None), small)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, onnx_setting(fake), MODELS, store, policy=QUICK)
        check_complete(store, onnx_setting(fake))
    assert len(MODELS) < len(sent) <= len(MODELS) * QUICK.rounds
    full = fake._replace(profile=profile.model_copy(update={"min_free_mb": 100}))
    with MeasurementStore(tmp_path / "n.sqlite") as store, pytest.raises(DeviceError, match="free space"):
        measure(full, onnx_setting(full), MODELS, store, policy=QUICK)
