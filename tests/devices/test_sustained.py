"""How latency drifts under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_onnx import onnx_model

from edgewidth.devices.fake.transport import SILENT_NOISE
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.devices.measure.sustained import measure_sustained
from edgewidth.errors import InputError
from edgewidth.records.measurement import DeviceState, Engine, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.devices.device import Device


def test_a_device_that_gets_slower(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """The fake device slows down by a fifth after its boost of 30 s: so says the drift, and the points show when."""
    fake = make_fake(
        noise=SILENT_NOISE._replace(heat=0.2, heats_after_s=30.0),
        state=lambda now_s: DeviceState(temperature_c=40 + min(now_s, 40)),
    )
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        found = measure_sustained(fake, setting, onnx_model(8), store, duration_s=120)
        again = measure_sustained(fake, setting, onnx_model(8), store, duration_s=120)
        assert again == found, "called again it has everything"
        with pytest.raises(InputError):
            measure_sustained(fake, setting, onnx_model(8), store, duration_s=0.1)
    assert found.drift_percent == pytest.approx(20, abs=0.1)
    assert 115 < found.duration_s < 130
    slow = [point.at_s for point in found.points if point.median_ms > 1.1 * found.first_ms]
    assert min(slow) == pytest.approx(30, abs=3)
    assert found.points[-1].temperature_c == pytest.approx(80)
