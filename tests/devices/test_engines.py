"""Engines: how they are asked for, and that no two of them are taken for one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from devices.test_adb import put_program

from edgewidth.devices.device import open_device
from edgewidth.devices.engines.table import ENGINES, engine_named, offered_engines, support_of
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.on_device.runtimes import import_runtime
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.errors import InputError, ProfileError
from edgewidth.records.measurement import (
    Accelerator,
    Engine,
    EngineName,
    FormatName,
    Launcher,
    Precision,
    Runtime,
    Setting,
    Visit,
)
from edgewidth.records.provenance import differences

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = {runtime: Engine(runtime=runtime) for runtime in Runtime if runtime is not Runtime.VELA}
VELA = Engine(runtime=Runtime.VELA, accelerator=Accelerator.NPU)
BENCHMARK_MODEL = Engine(runtime=Runtime.LITERT, launcher=Launcher.BENCHMARK_MODEL)
PERF_TEST = Engine(runtime=Runtime.ONNXRUNTIME, launcher=Launcher.PERF_TEST)
EVERYTHING = DeviceProfile(
    name="phone",
    transport="adb",
    runtimes=tuple(name for name in EngineName if name is not EngineName.VELA),
    benchmark_model="/data/local/tmp/benchmark_model",
    onnxruntime_perf_test="push:/home/me/onnxruntime_perf_test",
)


def test_names_mean_engines() -> None:
    """ONNX Runtime's name means its program where the profile has that, and its Python package where not."""
    assert offered_engines(EVERYTHING) == (
        PYTHON[Runtime.LITERT],
        PYTHON[Runtime.TFLITE_RUNTIME],
        PERF_TEST,
        BENCHMARK_MODEL,
    )
    with_python = EVERYTHING.model_copy(update={"onnxruntime_perf_test": None})
    assert engine_named(with_python, EngineName.ONNXRUNTIME) == PYTHON[Runtime.ONNXRUNTIME]
    assert engine_named(with_python.model_copy(update={"runtime": EngineName.BENCHMARK_MODEL})) == BENCHMARK_MODEL


def test_a_name_that_the_profile_does_not_offer() -> None:
    """The remedy says what it does offer."""
    profile = EVERYTHING.model_copy(update={"runtimes": (EngineName.LITERT,)})
    with pytest.raises(InputError, match="phone does not offer the runtime onnxruntime") as caught:
        engine_named(profile, EngineName.ONNXRUNTIME)
    assert "litert" in (caught.value.remedy or "")


@pytest.mark.parametrize("asked", [None, EngineName.LITERT, EngineName.BENCHMARK_MODEL])
def test_a_program_that_the_profile_does_not_name(asked: EngineName | None) -> None:
    """A profile that offers a native-only engine without its program is refused, whichever engine is asked for."""
    profile = EVERYTHING.model_copy(update={"benchmark_model": None})
    with pytest.raises(ProfileError, match="phone: benchmark_model: the runtime benchmark_model needs the program"):
        engine_named(profile, asked)


def test_every_launcher_and_runtime_has_its_engines() -> None:
    """A runtime that a launcher of its own does not run is run by Python; the runner can import what is here."""
    engines = [support.engine for support in ENGINES]
    assert sorted(map(str, engines)) == sorted(map(str, [*PYTHON.values(), BENCHMARK_MODEL, PERF_TEST, VELA]))
    assert {support.name for support in ENGINES} == set(EngineName)
    assert {engine.launcher for engine in engines} == set(Launcher)
    assert [support.engine for support in ENGINES if support.needs_python] == list(PYTHON.values())
    assert {runtime.file_format for runtime in Runtime} == set(FormatName)
    assert callable(import_runtime(Runtime.LITERT).interpreter.Interpreter)
    assert import_runtime(Runtime.ONNXRUNTIME).__name__ == "onnxruntime"


def test_engines_read_as_what_ran() -> None:
    """The launcher is said where it is not Python."""
    texts = [str(engine) for engine in (PYTHON[Runtime.TFLITE_RUNTIME], BENCHMARK_MODEL, PERF_TEST)]
    assert texts == [
        "tflite-runtime",
        "litert through benchmark_model",
        "onnxruntime through onnxruntime_perf_test",
    ]


def test_engines_never_mix(tmp_path: Path) -> None:
    """The same device, runtime and version through another launcher is another setting, with visits of its own."""

    def setting(engine: Engine) -> Setting:
        return Setting(
            device="a", hardware="b", engine=engine, runtime_version="1", threads=1, precision=Precision.INT8
        )

    here, there = setting(PYTHON[Runtime.ONNXRUNTIME]), setting(PERF_TEST)
    assert [str(one) for one in differences(here.facts, there.facts)] == [
        "engine: onnxruntime here, onnxruntime through onnxruntime_perf_test there"
    ]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        store.add(here, "0@8", Visit(model="8", round=0, started_s=0.0, warmup_ns=(1,), runs_ns=(2,)))
        assert store.visits(there) == {}


def test_a_program_beside_a_package_has_a_version_of_its_own(tmp_path: Path) -> None:
    """Both ONNX Runtimes of one device are told, and what runs has the version of the program, its digest."""
    put_program(tmp_path, "perf_test", "exit 1")
    profile = DeviceProfile(
        name="here",
        transport="local",
        workdir=str(tmp_path / "device"),
        onnxruntime_perf_test=str(tmp_path / "bin" / "perf_test"),
    )
    with open_device(profile) as device:
        engine = engine_named(profile, EngineName.ONNXRUNTIME)
        version = device.setting(engine, Precision.INT8, 1).runtime_version
        assert re.fullmatch(r"sha256:[0-9a-f]{16}", version)
        assert device.facts.runtimes["onnxruntime_perf_test"] == version
        assert re.match(r"\d+\.\d+", device.facts.runtimes["onnxruntime"])
        assert support_of(engine).key == "onnxruntime_perf_test"
