"""Whether a device is fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgewidth.devices.check import check_device
from edgewidth.devices.measure.campaign import Model
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.formats.registry import FORMATS
from edgewidth.records.measurement import Engine, EngineName, Runtime

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("runtime", [Runtime.LITERT, Runtime.ONNXRUNTIME])
def test_this_machine_is_fit(runtime: Runtime, tmp_path: Path) -> None:
    """Everything is looked at, and a first latency is measured."""
    profile = DeviceProfile(name="local", transport="local", workdir=str(tmp_path))
    check = check_device(profile, Engine(runtime=runtime), 1, Model("trial", FORMATS[runtime.file_format].trial))
    assert check.ok, check.items
    assert {"reachable", "runtime", "space", "memory", "clock", "throttling", "latency"} <= {
        i.name for i in check.items
    }
    assert check.first is not None
    assert check.first.low_ms < check.first.value_ms < check.first.high_ms


def test_what_is_missing_is_an_item(tmp_path: Path) -> None:
    """No Python, no space, no such runtime: not fit, with a remedy."""
    profile = DeviceProfile(
        name="local", transport="local", workdir=str(tmp_path), runtimes=(EngineName.LITERT, EngineName.TFLITE_RUNTIME)
    )
    litert, nothing = Engine(runtime=Runtime.LITERT), Model("trial", bytes)
    no_python = check_device(profile.model_copy(update={"python": "/nowhere/python3"}), litert, 1, nothing)
    no_space = check_device(profile.model_copy(update={"min_free_mb": 10**9}), litert, 1, nothing)
    no_runtime = check_device(profile, Engine(runtime=Runtime.TFLITE_RUNTIME), 1, nothing)
    for check, name in ((no_python, "reachable"), (no_space, "space"), (no_runtime, "runtime")):
        assert not check.ok
        [item] = [item for item in check.items if item.name == name]
        assert not item.ok
        assert item.remedy
