"""Small models and devices for the tests of this room."""

from __future__ import annotations

import shutil
import socket
import subprocess
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from devices.adb_daemon import AdbDaemon
from support import require

from edgewidth.devices.device import Device
from edgewidth.devices.fake.transport import SILENT_NOISE, FakeTransport
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.devices.reach.adb_client import AdbClient
from edgewidth.devices.reach.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def local(tmp_path: Path) -> Device:
    """This machine."""
    profile = DeviceProfile(name="local", transport="local", workdir=str(tmp_path / "device"))
    from edgewidth.progress import SILENT

    transport = LocalTransport.open(profile, SILENT)
    return Device(profile, transport, transport.facts())


@pytest.fixture
def make_fake(tmp_path: Path) -> Callable[..., Device]:
    """A fake device with any noise."""

    def make(**options: object) -> Device:
        options = {"noise": SILENT_NOISE} | options
        transport = FakeTransport(tmp_path / "fake", **options)  # type: ignore[arg-type]  # passed on as they are
        return Device(DeviceProfile(name="fake", transport="fake"), transport, transport.facts())

    return make


@pytest.fixture(scope="session")
def adb_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An adb server of our own, with its own port and keys; the environment that reaches it."""
    require(shutil.which("adb") or find_spec("adbutils"), "adb: pip install 'edgewidth[adb]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("adb-home")
    settings = {"HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(port), "ADB_MDNS_AUTO_CONNECT": "0"}
    yield settings
    program = AdbClient.find().program
    subprocess.run([program, "kill-server"], env=settings, check=False, timeout=20, capture_output=True)


@pytest.fixture
def adb(adb_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[AdbClient]:
    """The real adb program, with no phone attached."""
    for name, value in adb_settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    client = AdbClient.find()
    yield client
    client.call("disconnect")


@pytest.fixture
def make_phone(adb: AdbClient, tmp_path: Path) -> Iterator[Callable[..., AdbDaemon]]:
    """Phones whose programs are in ``tmp_path / "bin"``; switched off afterwards."""
    del adb
    phones: list[AdbDaemon] = []

    def make(*, port: int = 0, state: str = "device") -> AdbDaemon:
        phones.append(AdbDaemon(port, programs=tmp_path / "bin", state=state))
        return phones[-1]

    yield make
    for phone in phones:
        phone.stop()
