"""What a comparison of engines prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.cli.output import print_comparison
from edgewidth.graph.families.registry import search_space
from edgewidth.records.comparison import Compared, Comparison, Way
from edgewidth.records.measurement import (
    DeviceFacts,
    Engine,
    LatencyEstimate,
    Launcher,
    Precision,
    Runtime,
    Statistic,
)

if TYPE_CHECKING:
    import pytest

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)


def test_it_says_how_to_ask_for_the_fastest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command line names it, which is not always the runtime; a way that failed is in the table alone."""
    monkeypatch.setenv("COLUMNS", "200")
    estimate = LatencyEstimate(statistic=Statistic.MEDIAN, value_ms=1.25, low_ms=1.2, high_ms=1.3, visits=3, runs=30)
    native = Engine(runtime=Runtime.LITERT, launcher=Launcher.BENCHMARK_MODEL)
    ways = (
        Compared(
            way=Way(engine=native, precision=Precision.INT8, threads=2),
            runtime_version="sha256:0123456789abcdef",
            latencies=(estimate,),
        ),
        Compared(
            way=Way(engine=Engine(runtime=Runtime.ONNXRUNTIME), precision=Precision.FLOAT32, threads=1),
            runtime_version="1.32.0",
            latencies=(),
            failure="It has no memory.",
        ),
    )
    slower = Compared(
        way=Way(engine=Engine(runtime=Runtime.TFLITE_RUNTIME), precision=Precision.FLOAT16, threads=1),
        runtime_version="2.14.0",
        latencies=(estimate.model_copy(update={"value_ms": 2.5}),),
    )
    found = Comparison(device="phone", facts=DeviceFacts(), space=SPACE, configs=(SPACE.uniform(1.0),), ways=ways)
    print_comparison(found)
    printed = capsys.readouterr()
    assert printed.out == ""
    _, first, second, fastest = printed.err.splitlines()
    assert first.split()[:5] == ["litert", "through", "benchmark_model", "int8", "2"]
    assert "1.25 ms" in first
    assert second.split()[0] == "onnxruntime"
    assert "It has no memory." in second
    assert fastest == "The fastest on phone: --runtime benchmark_model --precision int8 --threads 2"
    print_comparison(found.model_copy(update={"ways": (ways[0], slower, ways[1])}))
    *_, of_each, again = capsys.readouterr().err.splitlines()
    fastest_of_each = (
        "litert through benchmark_model int8 2 threads (1.25 ms), tflite-runtime float16 1 thread (2.5 ms)"
    )
    assert of_each == f"The fastest of each runtime: {fastest_of_each}"
    assert again == fastest
