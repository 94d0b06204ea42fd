"""ADB to an emulated ARM board: the daemon runs on the board."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from devices import adb_daemon
from small_onnx import onnx_model
from support import require

from edgewidth.devices.device import open_device
from edgewidth.devices.emulator.transport import EmulatorTransport
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import DeviceProfile, load_profile
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Clock, Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewidth.devices.reach.adb_client import AdbClient

GUEST_PORT = 5555


@pytest.fixture
def board_serial() -> Iterator[str]:
    """A booted board with an adb daemon, and a port of this machine that leads to it."""
    for tool in ("qemu-system-aarch64", "cpio", "mmdebstrap", "ssh"):
        require(shutil.which(tool), f"{tool} (apt-get install qemu-system-arm cpio mmdebstrap openssh-client)")
    board = EmulatorTransport.open(load_profile("emulator-cortex-a72"), SILENT)
    try:
        board.put({"adb_daemon.py": Path(adb_daemon.__file__)})
        # The board's network ends in QEMU: nobody else hears a daemon that listens there.
        board.start(["python3", "adb_daemon.py", str(GUEST_PORT), "0.0.0.0"], log="daemon.log")  # noqa: S104
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        forward = f"hostfwd_add tcp:127.0.0.1:{port}-:{GUEST_PORT}"
        board.board._running_monitor().ask("human-monitor-command", **{"command-line": forward})
        yield f"127.0.0.1:{port}"
    finally:
        board.close()


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
