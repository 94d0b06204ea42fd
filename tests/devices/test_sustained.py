"""How latency drifts under load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from small_onnx import onnx_model, small_onnx

from edgewidth.cli.main import exit_code
from edgewidth.devices.fake.transport import SILENT_NOISE
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.sustained import measure_sustained
from edgewidth.errors import InputError, TransientDeviceError
from edgewidth.formats.registry import FORMATS
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import (
    DeviceState,
    Engine,
    EngineName,
    FormatName,
    Precision,
    Runtime,
    Statistic,
)
from edgewidth.stages.target import make_target
from edgewidth.stages.validate import VISITS, validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.devices.device import Device
    from edgewidth.devices.measure.policy import Policy


def test_a_device_that_gets_slower(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """The fake device slows down by a fifth after its boost of 30 s: so says the drift, and the points show when."""
    fake = make_fake(
        noise=SILENT_NOISE._replace(heat=0.2, heats_after_s=30.0),
        state=lambda now_s: DeviceState(temperature_c=40 + min(now_s, 40)),
    )
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        found, warnings = measure_sustained(fake, setting, onnx_model(8), store, duration_s=120)
        again, _ = measure_sustained(fake, setting, onnx_model(8), store, duration_s=120)
        assert again == found, "called again it has everything"
        with pytest.raises(InputError):
            measure_sustained(fake, setting, onnx_model(8), store, duration_s=0.1)
    assert found is not None
    assert not warnings
    assert found.drift_percent == pytest.approx(20, abs=0.1)
    assert 115 < found.duration_s < 130
    slow = [point.at_s for point in found.points if point.median_ms > 1.1 * found.first_ms]
    assert min(slow) == pytest.approx(30, abs=3)
    assert found.points[-1].temperature_c == pytest.approx(80)


@pytest.mark.parametrize("visits", [0, 3])
def test_a_device_that_fails_under_load_has_its_verdict(
    visits: int, make_fake: Callable[..., Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found before stands, with a warning and what the load showed until then."""

    def fail_after(*given: Any, policy: Policy, **settings: Any) -> None:
        if visits:
            measure(*given, policy=policy.model_copy(update={"rounds": visits}), **settings)
        raise TransientDeviceError("The link broke.", remedy="Look at the cable.")

    monkeypatch.setattr("edgewidth.devices.measure.sustained.measure", fail_after)
    path = tmp_path / "m.onnx"
    path.write_bytes(small_onnx((64, 64)))
    target = make_target("fake", runtime=EngineName.ONNXRUNTIME)
    budget = Budget(latency_ms=1000, statistic=Statistic.MEDIAN)
    found = validate(path, target, budget=budget, sustained_s=60, device=make_fake())
    assert found.within_budget
    assert len(found.visits) == VISITS
    [warning] = [one for one in found.warnings if one.code == "load-failed"]
    assert "The link broke." in warning.message
    assert warning.remedy == "Look at the cable."
    assert len(found.sustained.points if found.sustained else ()) == visits


@pytest.mark.parametrize(("device", "duration"), [("fake", "25h"), ("fake", "1s"), ("ethos-u55-128", "10m")])
def test_a_load_that_cannot_be_is_refused_at_once(
    device: str, duration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after the file was measured."""
    monkeypatch.setattr("edgewidth.stages.validate.open_device", lambda *_, **__: pytest.fail("it was opened"))
    path = tmp_path / "m.tflite"
    path.write_bytes(FORMATS[FormatName.TFLITE].trial())
    assert exit_code(["validate", str(path), "--device", device, "--sustained", duration]) == 2
    assert re.search("cannot be measured|never under load", capsys.readouterr().err)
