"""The emulated board: made, booted, measured on, cut off, restarted and switched off; booted once for all tests."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from devices import adb_daemon
from small_onnx import onnx_model, small_onnx
from small_tflite import small_tflite
from support import require

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.emulator.board import Board
from edgewidth.devices.emulator.image import prepare, require_tools
from edgewidth.devices.emulator.transport import EmulatorTransport
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile, EmulatorSection, load_profile
from edgewidth.errors import DeviceError, StorageError, TransientDeviceError
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewidth.devices.reach.adb_client import AdbClient
    from edgewidth.records.measurement import Setting, Visit

TOOLS = ("qemu-system-aarch64", "cpio", "mmdebstrap", "ssh")
A72 = EmulatorSection(cpu="cortex-a72")


@pytest.fixture(scope="module")
def board() -> Iterator[EmulatorTransport]:
    """A Cortex-A72 board, booted once."""
    for tool in TOOLS:
        require(shutil.which(tool), f"{tool} (apt-get install qemu-system-arm cpio mmdebstrap openssh-client)")
    transport = EmulatorTransport.open(load_profile("emulator-cortex-a72"), SILENT)
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def device(board: EmulatorTransport) -> Device:
    """The board as a device."""
    return Device(load_profile("emulator-cortex-a72"), board, board.facts())


def test_it_says_what_it_is(device: Device) -> None:
    """The processor that was asked for, a clock that counts instructions, and three real runtimes."""
    assert device.transport.clock is Clock.ICOUNT
    assert (device.facts.processor, device.facts.architecture, device.facts.cores) == ("Cortex-A72", "aarch64", 1)
    assert set(device.facts.runtimes) == {"litert", "tflite-runtime", "onnxruntime"}
    assert "Debian" in (device.facts.system or "")


def test_a_campaign_repeats(device: Device, tmp_path: Path) -> None:
    """Two visits to one model, minutes apart or not, agree within 0.3 %."""
    setting = device.setting(Engine(runtime=Runtime.LITERT), Precision.FLOAT32, 1)
    assert setting.clock is Clock.ICOUNT
    model = Model("small", small_tflite)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(device, setting, [model], store, policy=Policy(rounds=2, visit_ms=5, warmup_min_ms=1, warmup_max_ms=5))
        first, second = store.visits(setting)[model.key]
    medians = [sorted(visit.runs_ns)[len(visit.runs_ns) // 2] for visit in (first, second)]
    assert medians[0] == pytest.approx(medians[1], rel=0.003)


RUN_TFLITE = """
import sys, numpy as np, importlib
i = importlib.import_module(sys.argv[1]).Interpreter(model_path="model")
i.allocate_tensors()
i.set_tensor(0, np.linspace(-1, 1, 256, dtype=np.float32)[None])
i.invoke()
sys.stdout.buffer.write(i.get_tensor(i.get_output_details()[0]["index"]).tobytes())
"""
RUN_ONNX = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model")
image = np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)
sys.stdout.buffer.write(session.run(None, {"input": image})[0].tobytes())
"""


@pytest.mark.parametrize("module", ["ai_edge_litert.interpreter", "tflite_runtime.interpreter"])
def test_tflite_runtimes_compute(board: EmulatorTransport, module: str) -> None:
    """Both compute what a matrix product does, in the one environment that they share."""
    board.put({"model": small_tflite()})
    done = board.run(["python3", "-c", RUN_TFLITE, module], timeout_s=60)
    kernel = np.random.default_rng(0).normal(size=(128, 256)).astype(np.float32)
    expected = kernel @ np.linspace(-1, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), expected, rtol=1e-4, atol=1e-4)


def test_onnxruntime_computes(board: EmulatorTransport) -> None:
    """What the same library computes here."""
    import onnxruntime

    board.put({"model": small_onnx((8, 16))})
    done = board.run(["python3", "-c", RUN_ONNX], timeout_s=60)
    image = np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)
    (expected,) = onnxruntime.InferenceSession(small_onnx((8, 16))).run(None, {"input": image})
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), expected[0], rtol=1e-4, atol=1e-5)


TIMED_LOOP = """
import sys, time
def loop(count):
    begin = time.perf_counter_ns()
    sum(range(count))
    return time.perf_counter_ns() - begin
print(min(loop(int(sys.argv[1])) for _ in range(7)))
"""


def test_time_is_counted_in_instructions(board: EmulatorTransport) -> None:
    """The same loop takes the same time in two processes, and one twice as long takes twice the time."""
    once, again, twice = (
        int(board.run(["python3", "-c", TIMED_LOOP, str(count)]).stdout) for count in (100_000, 100_000, 200_000)
    )
    assert once == pytest.approx(again, rel=0.003)
    assert twice == pytest.approx(2 * once, rel=0.02)


def test_a_cut_cable_loses_nothing(board: EmulatorTransport) -> None:
    """A job goes on while the board's network is off, and all of its lines are read once it is back."""
    job = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line $i; sleep 0.05; done"
    board.start(["sh", "-c", job], log="lines")
    board.board.set_link(up=False)
    time.sleep(1.5)
    board.board.set_link(up=True)
    read, deadline = b"", time.monotonic() + 30
    while b"line 20\n" not in read and time.monotonic() < deadline:
        read += board.read("lines", len(read))
    assert read.decode() == "".join(f"line {i}\n" for i in range(1, 21))


def test_a_full_disk(board: EmulatorTransport) -> None:
    """A lasting trouble, with a remedy."""
    board.run(["mkdir", "full"])
    board.run(["busybox", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "full"])
    with pytest.raises(DeviceError, match="disk is full") as caught:
        board.put({"full/model": bytes(1_000_000)})
    assert caught.value.remedy is not None


def test_several_boards_do_not_clash(board: EmulatorTransport) -> None:
    """Each has a port of its own; switched off, nothing is left of it."""
    image = prepare(SILENT)
    with Board(image, A72) as second, Board(image, EmulatorSection(cpu="cortex-a53")) as third:
        assert len({board.board.port, second.port, third.port}) == 3
        folders = [each._folder for each in (second, third)]
        assert all(folder.exists() for folder in folders)
    assert not any(folder.exists() for folder in folders)
    assert not [command for command in running() if any(str(folder) in command for folder in folders)]
    with pytest.raises(DeviceError, match="switched off"):
        second.set_link(up=False)


def test_the_board_ends_with_this_program(board: EmulatorTransport) -> None:
    """Even where that is killed and has no chance to clean up."""
    code = (
        "import time\nfrom edgewidth.devices.emulator.board import Board\n"
        "from edgewidth.devices.emulator.image import prepare\n"
        "from edgewidth.devices.profiles import EmulatorSection; from edgewidth.progress import SILENT\n"
        "board = Board(prepare(SILENT), EmulatorSection(cpu='cortex-a72'))\n"
        "print(board._folder, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        folder = program.stdout.readline().decode().strip()
        assert [command for command in running() if folder in command]
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while (left := [command for command in running() if folder in command]) and time.monotonic() < deadline:
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    assert left == []
    assert board.run(["true"]).returncode == 0


def test_a_restarted_board_is_reached_again(board: EmulatorTransport) -> None:
    """What was on it is gone, and the working folder is made anew."""
    board.put({"before": b"x"})
    board.board.reset()
    board.board.wait_ready()
    deadline, ended = time.monotonic() + 60, None
    while ended is None and time.monotonic() < deadline:
        try:
            ended = board.run(["test", "-e", "before"], timeout_s=5)
        except TransientDeviceError:
            time.sleep(0.5)
    assert ended is not None
    assert ended.returncode == 1


GUEST_PORT = 5555


@pytest.fixture
def board_serial(board: EmulatorTransport) -> str:
    """The board with an adb daemon, and a port of this machine that leads to it."""
    board.put({"adb_daemon.py": Path(adb_daemon.__file__)})
    # The board's network ends in QEMU: nobody else hears a daemon that listens there.
    board.start(["python3", "adb_daemon.py", str(GUEST_PORT), "0.0.0.0"], log="daemon.log")  # noqa: S104
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    forward = f"hostfwd_add tcp:127.0.0.1:{port}-:{GUEST_PORT}"
    board.board._running_monitor().ask("human-monitor-command", **{"command-line": forward})
    return f"127.0.0.1:{port}"


def test_a_campaign_on_a_board_over_adb(adb: AdbClient, board_serial: str, tmp_path: Path) -> None:
    """Everything on the way is real: adb, an ARM processor's ONNX Runtime, the runner, the clock that counts."""
    del adb
    profile = DeviceProfile(
        name="board",
        transport="adb",
        address=board_serial,
        workdir="/root/over adb",
        clock=Clock.ICOUNT,
        python="python3",
    )
    with open_device(profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        assert (device.facts.processor, device.facts.architecture) == ("Cortex-A72", "aarch64")
        setting = device.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
        assert setting.clock is Clock.ICOUNT
        policy = Policy(rounds=2, visit_ms=5, warmup_min_ms=1, warmup_max_ms=5)
        measure(device, setting, [onnx_model(8, 16)], store, policy=policy)
        first, second = store.visits(setting)["8-16"]
    assert {visit.round for visit in (first, second)} == {0, 1}
    medians = [sorted(visit.runs_ns)[len(visit.runs_ns) // 2] for visit in (first, second)]
    # The daemon shares the board's one processor with the runner, so visits agree less well than over SSH.
    assert medians[0] == pytest.approx(medians[1], rel=0.1)


def test_a_board_that_dies_boots_again_and_the_campaign_goes_on(board: EmulatorTransport, tmp_path: Path) -> None:
    """QEMU is killed in the middle: it is told from a cut link, and nothing that was measured is lost."""
    device = Device(load_profile("emulator-cortex-a72"), board, board.facts())
    setting = device.setting(Engine(runtime=Runtime.LITERT), Precision.FLOAT32, 1)
    first, killed = board.board, threading.Event()

    class Killing(MeasurementStore):
        def add(self, setting: Setting, name: str, visit: Visit) -> bool:
            added = super().add(setting, name, visit)
            if not killed.is_set():
                killed.set()
                pid = next(pid for pid, command in processes() if str(first._folder) in command)
                os.kill(pid, signal.SIGKILL)
            return added

    models = [Model("one", small_tflite), Model("two", small_tflite)]
    with Killing(tmp_path / "m.sqlite") as store:
        measure(device, setting, models, store, policy=Policy(rounds=6, visit_ms=5, warmup_min_ms=1, warmup_max_ms=5))
        visits = store.visits(setting)
    assert {key: len(some) for key, some in visits.items()} == {"one": 6, "two": 6}
    assert board.board is not first
    assert not first._folder.exists()


def running() -> list[str]:
    """The command lines of all QEMU processes."""
    return [command for _, command in processes()]


def processes() -> list[tuple[int, str]]:
    """All QEMU processes, with their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if os.path.basename(words[0]).startswith(b"qemu-system"):  # noqa: PTH119  # bytes
            found.append((int(path.parent.name), b" ".join(words).decode(errors="replace")))
    return found


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the line that installs them all."""
    (tmp_path / "ssh").write_text("")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"needs cpio, .*mmdebstrap, qemu-system-aarch64, ssh-keygen") as caught:
        require_tools()
    assert re.search(
        r"apt-get install --no-install-recommends cpio .*mmdebstrap openssh-client qemu-system-arm$",
        caught.value.remedy or "",
    )


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names the folder, the remedy the variable that moves it."""
    for tool in TOOLS:
        require(shutil.which(tool), f"{tool} (apt-get install qemu-system-arm cpio mmdebstrap openssh-client)")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEWIDTH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="could not be written") as caught:
        prepare(SILENT)
    assert "EDGEWIDTH_CACHE" in (caught.value.remedy or "")


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a72", "cortex-a76"])
def test_shipped_profiles(cpu: str) -> None:
    """Each emulates what its name says, with a clock that is never taken for a real one."""
    profile = load_profile(f"emulator-{cpu}")
    assert profile.emulator is not None
    assert (profile.emulator.cpu, profile.clock, profile.threads) == (cpu, Clock.ICOUNT, 1)
