"""Ethos-U devices: what Vela says of a file stands for what it would need, and is never called measured."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import require

from edgewidth.cli.output import print_validation
from edgewidth.devices.device import open_device
from edgewidth.devices.ethos_u.micro import run_micro
from edgewidth.devices.ethos_u.vela import VelaEstimate, compile_with_vela
from edgewidth.devices.measure.campaign import Model, measure
from edgewidth.devices.measure.policy import default_policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.profiles import EthosUSection, load_profile
from edgewidth.errors import DeviceError, InputError
from edgewidth.formats.registry import FORMATS
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.records.budget import Budget, Limits
from edgewidth.records.measurement import Clock, FormatName, Precision
from edgewidth.stages.target import make_target
from edgewidth.stages.validate import validate

if TYPE_CHECKING:
    from pathlib import Path


def test_without_vela_its_package_is_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A microcontroller has no Python, and needs none."""

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    target = make_target("ethos-u55-128")
    with open_device(target.profile) as device, pytest.raises(DeviceError) as caught:
        device.setting(target.engine, Precision.INT8, 1)
    assert caught.value.message == "vela is not installed on ethos-u55-128."
    assert caught.value.remedy == "pip install 'edgewidth[ethos-u]'"


def test_a_file_that_vela_takes_long_for_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a runner may say nothing."""

    def slow(content: bytes, section: EthosUSection, *, timeout_s: float) -> VelaEstimate:
        del content, section, timeout_s
        time.sleep(2)
        return VelaEstimate(1e-3, 1_000_000, 0, 0, 1, 0, (), b"")

    monkeypatch.setattr("edgewidth.devices.ethos_u.transport.compile_with_vela", slow)
    monkeypatch.setattr("edgewidth.devices.ethos_u.transport.vela_version", lambda: "5.2.0")
    target = make_target("ethos-u55-128")
    policy = default_policy(Clock.ESTIMATE).model_copy(update={"silence_s": 0.6, "restarts": 0})
    with open_device(target.profile) as device, MeasurementStore(tmp_path / "m.sqlite") as store:
        setting = device.setting(target.engine, Precision.INT8, 1)
        measure(device, setting, [Model("it", lambda: b"a model")], store, policy=policy)
        (visit,) = store.visits(setting)["it"]
    assert visit.runs_ns == (1_000_000,)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 MobileNet-v1 for small images, as profiling makes its variants."""
    require(find_spec("ethosu") is not None, "ethos-u-vela is not installed")
    folder = tmp_path_factory.mktemp("ethos")
    space = search_space("mobilenet_v1", resolution=32, in_channels=3, num_classes=10)
    factory = VariantFactory(space, Precision.INT8, FormatName.TFLITE, folder / "cache")
    path = folder / "model.tflite"
    path.write_bytes(factory.variant(space.sample(np.random.default_rng(0))))
    return path


def test_an_estimate_is_velas_own(model: Path) -> None:
    """Cycles over the clock are the time, to the nanosecond; said to be an estimate, and the same each time."""
    told = compile_with_vela(model.read_bytes(), EthosUSection(accelerator="ethos-u85-256"))
    assert told.seconds == pytest.approx(told.cycles / 1e9)
    assert told.on_cpu == 0
    assert told.sram_bytes > 0
    assert FORMATS[FormatName.TFLITE].recognises(told.compiled)
    report = validate(model, make_target("ethos-u85-256"))
    assert report.estimate.value_ms == pytest.approx(1e3 * told.seconds, abs=1e-6)
    assert report.estimate.low_ms == report.estimate.high_ms
    assert report.setting.clock is Clock.ESTIMATE
    assert [warning.code for warning in report.warnings] == ["estimated-clock"]
    assert report.ran is not None
    assert report.ran.operators_percent == 100.0
    assert report.ran.footprint is not None
    assert report.ran.footprint.sram_bytes == told.sram_bytes
    assert report.ran.footprint.flash_bytes == told.flash_bytes


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(), None),
        (Limits(activation_bytes=1e9, size_bytes=1e9), None),
        (Limits(activation_bytes=1e3), "kB of SRAM, more than the 1 kB allowed"),
        (Limits(size_bytes=2e3), "kB of flash, more than the 2 kB allowed"),
    ],
)
def test_budgets_hold_of_the_memory_that_vela_counts(
    model: Path, limits: Limits, told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the latency; the verdict says what is too much."""
    report = validate(model, make_target("ethos-u85-256"), budget=Budget(latency_ms=1e3, limits=limits))
    print_validation(report)
    assert report.within_budget is (told is None)
    assert (told or "Within the budget") in capsys.readouterr().out


def test_the_microcontrollers_interpreter_runs_it(model: Path) -> None:
    """In an arena that its own allocator tells; with outputs as TFLite's, to rounding."""
    require(find_spec("tflite_micro") is not None, "tflite-micro is not installed")
    from tflite_micro import runtime

    found = validate(model, make_target("ethos-u55-128")).micro
    assert found is not None
    assert found.arena_bytes is not None
    assert found.difference_percent is not None
    assert found.difference_percent < 5
    interpreter = runtime.Interpreter.from_file(str(model), arena_size=found.arena_bytes + 1024)
    interpreter.set_input(np.zeros((1, 32, 32, 3), np.int8), 0)
    interpreter.invoke()
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_file(str(model), arena_size=found.arena_bytes // 2)


def test_a_file_that_a_microcontroller_cannot_run() -> None:
    """Told with the interpreter's reason, and nothing breaks."""
    require(find_spec("tflite_micro") is not None, "tflite-micro is not installed")
    found = run_micro(b"no model at all, but long enough to be looked at")
    assert found is not None
    assert found.arena_bytes is None
    assert found.reason


def test_another_system_is_another_engine(model: Path) -> None:
    """Its clock is half as fast, and nothing of the two meets in a table."""
    section = EthosUSection(accelerator="ethos-u55-128", system_config="Ethos_U55_Deep_Embedded")
    fast = compile_with_vela(model.read_bytes(), EthosUSection(accelerator="ethos-u55-128"))
    slow = compile_with_vela(model.read_bytes(), section)
    assert slow.seconds > 1.5 * fast.seconds
    engines = [
        make_target("ethos-u55-128", overrides=overrides).engine
        for overrides in ({}, {"ethos_u.system_config": "Ethos_U55_Deep_Embedded"})
    ]
    assert engines[0] != engines[1]


def test_a_float_file_is_refused(tmp_path: Path) -> None:
    """The Ethos-U takes none of it."""
    require(find_spec("ethosu") is not None, "ethos-u-vela is not installed")
    path = tmp_path / "float.tflite"
    path.write_bytes(FORMATS[FormatName.TFLITE].trial())
    with pytest.raises(DeviceError, match="Nothing ran on the npu of ethos-u65-256"):
        validate(path, make_target("ethos-u65-256"))


def test_a_system_that_vela_does_not_know(model: Path) -> None:
    section = EthosUSection(accelerator="ethos-u55-128", system_config="No_Such_System")
    with pytest.raises(DeviceError, match="Vela cannot compile this file for ethos-u55-128"):
        compile_with_vela(model.read_bytes(), section)


def test_threads_mean_nothing_there() -> None:
    with pytest.raises(InputError, match="has one Ethos-U"):
        load_profile("ethos-u85-256").check_threads(2)
