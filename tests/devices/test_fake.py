"""The fake device: the truth, and what stands between it and a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_onnx import onnx_model, small_onnx

from edgewidth.devices.fake.operators import Operator, read_operators
from edgewidth.devices.fake.transport import SILENT_NOISE, FakeNoise, latency_ms, operator_ms
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.errors import InputError
from edgewidth.formats.folded import CHANNELS, FILTERS, SIZE
from edgewidth.formats.registry import FORMATS
from edgewidth.records.measurement import Engine, FormatName, Precision, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.devices.device import Device


@pytest.mark.parametrize("format_name", FormatName)
def test_reads_operators(format_name: FormatName) -> None:
    """Both formats of one convolution are the same operator."""
    assert read_operators(FORMATS[format_name].trial()) == [
        Operator("conv", SIZE, SIZE, CHANNELS, SIZE, SIZE, FILTERS, 9, 4)
    ]


def test_reads_a_chain() -> None:
    """Kinds and shapes of a small network, in order."""
    operators = read_operators(small_onnx((8, 16)))
    assert [(o.kind, o.in_channels, o.out_channels, o.out_height) for o in operators] == [
        ("conv", 3, 8, 16),
        ("conv", 8, 16, 8),
        ("other", 16, 16, 1),
        ("other", 16, 16, 1),
        ("dense", 16, 10, 1),
    ]


@pytest.mark.parametrize("content", [b"", b"text that is no model at all", b"\x1c\0\0\0TFL3" + b"\xff" * 64])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    """Neither format accepts it, whatever the reader stumbles over."""
    with pytest.raises(InputError, match="neither a TFLite nor an ONNX model"):
        read_operators(content)


def test_the_truth_by_hand() -> None:
    """A 3×3 convolution over 4×4 pixels from 5 to 9 channels counts as 8 to 16."""
    operator = Operator("conv", 4, 4, 5, 4, 4, 9, 9, 4)
    macs, moved = 16 * 9 * 8 * 16, 16 * 8 + 16 * 16
    assert operator_ms(operator) == pytest.approx(0.002 + 2 * (macs / 8e6 + moved / 4e6))
    assert latency_ms([operator, operator]) == pytest.approx(0.02 + 2 * operator_ms(operator))


def test_without_noise_every_run_is_the_truth(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """To the nanosecond; the first run of a visit is slower, as everywhere."""
    fake = make_fake(noise=SILENT_NOISE)
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, setting, [onnx_model(24)], store, policy=Policy(rounds=1))
        [visit] = store.visits(setting)["24"]
    truth_ns = 1e6 * latency_ms(read_operators(small_onnx((24,))))
    assert set(visit.runs_ns) == {int(truth_ns)}
    assert visit.warmup_ns[0] == int(3 * truth_ns)


def test_slow_stretches_come_and_go(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """With drift, medians have two levels; the estimate stays at the truth."""
    fake = make_fake(noise=FakeNoise(run=0.001, visit=0.001, drift=0.08, drift_every_s=30.0, outliers=0.0))
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    models = [onnx_model(8 * i) for i in range(1, 9)]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, setting, models, store, policy=Policy(rounds=20, visit_ms=1000, remeasure=0))
        visits = store.visits(setting)
    truth = {m.key: 1e6 * latency_ms(read_operators(m.content())) for m in models}
    ratios = {k: [np.median(b.runs_ns) / truth[k] for b in some] for k, some in visits.items()}
    every = np.concatenate(list(ratios.values()))
    slow = every > 1.04
    assert 0.2 < slow.mean() < 0.9
    assert np.abs(every[~slow] - 1).max() < 0.01
    assert np.abs(every[slow] - 1.08).max() < 0.01
    marked = np.concatenate([[b.disturbed is not None for b in some] for some in visits.values()])
    assert np.array_equal(marked, slow)
