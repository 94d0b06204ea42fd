"""Measuring many models on one device."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_onnx import onnx_model, small_onnx

from edgewidth.devices.fake.operators import read_operators
from edgewidth.devices.fake.transport import FakeNoise, latency_ms
from edgewidth.devices.measure.campaign import measure
from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.policy import Policy
from edgewidth.devices.measure.store import MeasurementStore
from edgewidth.records.measurement import Engine, Precision, Runtime, Statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.devices.device import Device

QUICK = Policy(rounds=2, visit_ms=20, warmup_min_ms=3, warmup_max_ms=50, remeasure=0)


def test_local_end_to_end(local: Device, tmp_path: Path) -> None:
    """This machine's ONNX Runtime is measured, and a wider network takes longer."""
    setting = local.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    models = [onnx_model(8), onnx_model(64, 128, 128), onnx_model(16)]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(local, setting, models, store, policy=QUICK)
        visits = store.visits(setting)
    assert {key: len(some) for key, some in visits.items()} == {"8": 2, "64-128-128": 2, "16": 2}
    assert estimate(visits["8"], Statistic.MEDIAN).high_ms < estimate(visits["64-128-128"], Statistic.MEDIAN).low_ms
    assert not list((tmp_path / "device").iterdir()), "the runner cleans up after itself"


def test_fake_recovers_the_truth(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """What is measured of the fake device is what its formula says, within its noise."""
    fake = make_fake(noise=FakeNoise(run=0.01, visit=0.005, drift=0.0, outliers=0.01))
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    widths = [(8 * i, 16 * i) for i in range(1, 13)]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, setting, [onnx_model(*w) for w in widths], store)
        visits = store.visits(setting)
    for w in widths:
        truth = latency_ms(read_operators(small_onnx(w)))
        found = estimate(visits["-".join(map(str, w))], Statistic.MEDIAN)
        assert found.value_ms == pytest.approx(truth, rel=0.02)


def test_measures_only_what_is_missing(make_fake: Callable[..., Device], tmp_path: Path) -> None:
    """A second call adds nothing; one with more rounds adds those."""
    fake = make_fake()
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    models = [onnx_model(8), onnx_model(16)]
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, setting, models, store, policy=Policy(rounds=2))
        first = store.named_visits(setting)
        measure(fake, setting, models, store, policy=Policy(rounds=2))
        assert store.named_visits(setting) == first
        measure(fake, setting, models, store, policy=Policy(rounds=5))
        visits = store.visits(setting)
    assert {key: sorted(visit.round for visit in some) for key, some in visits.items()} == {
        "8": [0, 1, 2, 3, 4],
        "16": [0, 1, 2, 3, 4],
    }


def test_models_never_need_more_space_than_there_is(
    make_fake: Callable[..., Device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device with room for a few models all are measured, and at no moment does more lie there than half of it."""
    from edgewidth.devices.fake.transport import FakeTransport

    models = [onnx_model(64, 8 * i) for i in range(1, 25)]
    largest = max(len(model.content()) for model in models)
    free = 12 * largest
    fake = make_fake()
    fake = fake._replace(
        profile=fake.profile.model_copy(update={"min_free_mb": 0}),
        facts=fake.facts.model_copy(update={"free_bytes": free}),
    )
    seen: list[int] = []
    original = FakeTransport.put

    def put(self: FakeTransport, files: dict[str, bytes]) -> None:
        original(self, files)
        seen.append(0)
        # The device deletes meanwhile what it has measured, folders too.
        for folder, _, names in os.walk(tmp_path):
            for path in (Path(folder, name) for name in names if Path(folder).name == "models"):
                with suppress(FileNotFoundError):
                    seen[-1] += path.stat().st_size

    monkeypatch.setattr(FakeTransport, "put", put)
    setting = fake.setting(Engine(runtime=Runtime.ONNXRUNTIME), Precision.FLOAT32, 1)
    with MeasurementStore(tmp_path / "m.sqlite") as store:
        measure(fake, setting, models, store, policy=Policy(rounds=2))
        assert {len(some) for some in store.visits(setting).values()} == {2}
        assert len(store.visits(setting)) == len(models)
    assert max(seen) <= free // 2 + 2 * largest
    assert max(seen) > 2 * largest
