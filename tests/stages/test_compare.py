"""Every runtime, precision and thread count of the fake device, whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.devices.fake.operators import read_operators
from edgewidth.devices.fake.transport import latency_ms
from edgewidth.errors import DeviceError
from edgewidth.files import cache_folder
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.families.registry import search_space
from edgewidth.records.comparison import Comparison
from edgewidth.records.measurement import Precision, Runtime
from edgewidth.search.factors import Factor, total
from edgewidth.stages.compare import compare
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.target import make_target

if TYPE_CHECKING:
    from pathlib import Path

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)


def test_every_way_is_measured_and_the_fastest_comes_first(tmp_path: Path) -> None:
    """Runtimes and precisions by what their own files truly take there."""
    target, folder = make_target("fake"), RunFolder(tmp_path)
    found = compare(target, SPACE, folder)
    assert found == Comparison.read(folder.comparison)
    assert {(str(one.way.engine), one.way.precision) for one in found.ways} == {
        (name, precision) for name in ("litert", "onnxruntime", "tflite-runtime") for precision in Precision
    }
    assert {one.way.threads for one in found.ways} == {1, 2, 4}  # the fake device has four cores
    values = [one.latencies[0].value_ms for one in found.ways]
    assert values == sorted(values)
    for one in found.ways:
        format_name = one.way.engine.file_format
        factory = VariantFactory(SPACE, one.way.precision, format_name, cache_folder())
        for config, latency in zip(found.configs, one.latencies, strict=True):
            content = factory.variant(config)
            truth = latency_ms(read_operators(content))
            assert latency.value_ms == pytest.approx(truth, rel=0.05)
            counted = [Factor(*factor) for factor in factory.size.factors(SPACE)]
            assert 0 <= total(counted, np.array([SPACE.indices(config)]))[0] - len(content) <= 0.01 * len(content)
    assert found.fastest == found.ways[0]


def test_a_way_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes last, with its reason; only when all fail is that an error."""
    from edgewidth.stages import bench

    original = bench.Bench.measure
    broken = {Runtime.ONNXRUNTIME}

    def measure(self: bench.Bench, *args: object, **kwargs: object) -> None:
        if self.target.engine.runtime in broken:
            raise DeviceError("It does not know an operator.")
        original(self, *args, **kwargs)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(bench.Bench, "measure", measure)
    found = compare(make_target("fake"), SPACE, RunFolder(tmp_path))
    assert [one.failure for one in found.ways if one.way.engine.runtime is Runtime.ONNXRUNTIME] == [
        "It does not know an operator."
    ] * sum(one.way.engine.runtime is Runtime.ONNXRUNTIME for one in found.ways)
    assert found.ways[-1].failure
    assert found.ways[0].failure is None
    broken.update(Runtime)
    with pytest.raises(DeviceError, match="operator"):
        compare(make_target("fake"), SPACE, RunFolder(tmp_path))
