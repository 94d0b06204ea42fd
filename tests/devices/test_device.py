"""A connected device and what may be measured on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgewidth.devices.device import Device, open_device
from edgewidth.devices.engines.table import engine_named
from edgewidth.devices.profiles import DeviceProfile, load_profile
from edgewidth.errors import DeviceError, InputError
from edgewidth.records.measurement import Clock, DeviceFacts, Engine, EngineName, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_shipped_profiles_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``local`` and ``fake`` need nothing but this machine."""
    monkeypatch.setenv("EDGEWIDTH_CACHE", str(tmp_path))
    with open_device(load_profile("local")) as device:
        setting = device.setting(Engine(runtime=Runtime.LITERT), Precision.INT8, 1)
        assert setting.runtime_version == device.facts.runtimes["litert"]
        assert setting.clock is Clock.WALL
        assert device.transport.workdir.startswith(str(tmp_path))
    with open_device(load_profile("fake")) as device:
        assert device.setting(Engine(runtime=Runtime.TFLITE_RUNTIME), Precision.INT8, 4).hardware.startswith(
            "fake device"
        )


def test_a_setting_needs_its_runtime(make_fake: Callable[..., Device]) -> None:
    """Not offered by the profile is wrong input; offered and missing is the device's fault."""
    fake = make_fake()
    with pytest.raises(InputError, match="does not offer the runtime tflite-runtime"):
        engine_named(fake.profile, EngineName.TFLITE_RUNTIME)
    bare = fake._replace(facts=fake.facts.model_copy(update={"runtimes": {}}))
    with pytest.raises(DeviceError, match="litert is not installed") as caught:
        bare.setting(Engine(runtime=Runtime.LITERT), Precision.INT8, 1)
    assert caught.value.remedy == bare.install_line(Engine(runtime=Runtime.LITERT))


@pytest.mark.parametrize(
    ("architecture", "python", "runtime", "says"),
    [
        ("aarch64", "3.11.2", Runtime.LITERT, "pip install ai-edge-litert numpy"),
        ("aarch64", "3.13.1", Runtime.ONNXRUNTIME, "pip install onnxruntime"),
        ("aarch64", "3.9.2", Runtime.LITERT, "use tflite-runtime"),
        ("aarch64", "3.9.2", Runtime.TFLITE_RUNTIME, "pip install tflite-runtime 'numpy<2'"),
        ("aarch64", "3.12.0", Runtime.TFLITE_RUNTIME, "no build for Python 3.12"),
        ("armv7l", "3.10.0", Runtime.TFLITE_RUNTIME, "pip install tflite-runtime 'numpy<2'"),
        ("armv7l", "3.11.0", Runtime.LITERT, "no build for 32-bit ARM"),
    ],
)
def test_the_install_line_is_that_of_the_device(
    architecture: str, python: str, runtime: Runtime, says: str, make_fake: Callable[..., Device]
) -> None:
    """Which package has a build for which processor and Python."""
    profile = DeviceProfile(
        name="board",
        transport="ssh",
        address="pi@10.0.0.7",
        python="/home/pi/venv/bin/python",
        runtimes=tuple(EngineName)[:3],
    )
    facts = DeviceFacts(architecture=architecture, python=python)
    line = Device(profile, make_fake().transport, facts).install_line(Engine(runtime=runtime))
    assert says in line
    assert line.startswith("ssh pi@10.0.0.7 /home/pi/venv/bin/python -m pip install") == ("pip install" in says)
