"""Small models and devices for the tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgewidth.devices.device import Device
from edgewidth.devices.fake import SILENT_NOISE, FakeTransport
from edgewidth.devices.local import LocalTransport
from edgewidth.devices.profiles import DeviceProfile

if TYPE_CHECKING:
    from collections.abc import Callable
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
