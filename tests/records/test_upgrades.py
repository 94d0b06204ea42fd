"""Files that the last version without engines wrote are read: ``version_1/documents.tar.xz`` holds real ones.

Its documents are a quick run with ``--narrow --compare`` on the fake device. Its store was filled by hand with five
settings of a phone, two visits in each.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgewidth.devices.measure.store import MeasurementStore, OpenSession
from edgewidth.records.comparison import Comparison
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import Clock, Engine, EngineName, Launcher, Precision, Runtime, Setting
from edgewidth.records.report import Report
from edgewidth.records.run import RunRequest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport

ARCHIVE = Path(__file__).parents[1] / "version_1/documents.tar.xz"
FAKE = Setting(
    device="fake",
    hardware="fake device, 4 cores, none",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="1.0",
    threads=1,
    precision=Precision.INT8,
    clock=Clock.WALL,
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of old files."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def raw(path: Path) -> Any:
    """What the file holds, as it was written."""
    return json.loads(path.read_text())


def test_settings_get_an_engine(old: Path) -> None:
    """The table, the losses that it narrowed and the validation were measured by LiteRT in Python on the processor."""
    assert LatencyTable.read(old / "table.json").setting == FAKE
    narrowed = UnaryLosses.read(old / "losses.json").narrowed
    assert narrowed is not None
    assert narrowed.setting == FAKE
    assert ValidationReport.read(old / "validation.json").setting == FAKE


def test_a_setting_keeps_its_precision() -> None:
    """Files of other makers were measured in one that is spelt otherwise since."""
    content = FAKE.model_dump(mode="json") | {"precision": "dynamic int8"}
    assert Setting.model_validate(content).precision is Precision.DYNAMIC_INT8
    assert Setting.model_validate_json(json.dumps(content)).precision is Precision.DYNAMIC_INT8


def test_a_table_keeps_its_measurements(old: Path) -> None:
    """Value by value."""
    path = old / "table.json"
    assert [one.values_ms for one in LatencyTable.read(path).fitted] == [
        tuple(one["values_ms"]) for one in raw(path)["fitted"]
    ]


def test_blocks_are_visits(old: Path) -> None:
    """In a validation and its estimate, in the refinement of a search, and in a report."""
    validation, was = ValidationReport.read(old / "validation.json"), raw(old / "validation.json")
    assert [visit.runs_ns for visit in validation.visits] == [tuple(block["runs_ns"]) for block in was["blocks"]]
    assert validation.estimate.visits == was["estimate"]["blocks"] > 0
    search, was = SearchResult.read(old / "search.json"), raw(old / "search.json")
    assert search.measured is not None
    assert search.measured.visits == was["measured"]["blocks"] > 0
    assert [step.measured.visits for step in search.refinement] == [
        step["measured"]["blocks"] for step in was["refinement"]
    ]
    report, was = Report.read(old / "report.json"), raw(old / "report.json")
    assert report.measured is not None
    assert report.device is not None
    assert (report.visits, report.device.setting) == (validation.visits, FAKE)
    assert report.measured.visits == was["measured"]["blocks"]


def test_a_comparison_of_runtimes_is_one_of_engines(old: Path) -> None:
    """Every way with its latencies, in the same order."""
    ways = Comparison.read(old / "comparison.json").ways
    assert [
        (str(one.way.engine), one.way.precision.value, one.way.threads, [latency.visits for latency in one.latencies])
        for one in ways
    ] == [
        (
            one["way"]["runtime"],
            one["way"]["precision"],
            one["way"]["threads"],
            [latency["blocks"] for latency in one["latencies"]],
        )
        for one in raw(old / "comparison.json")["ways"]
    ]


def test_a_request_still_names_its_runtime(old: Path) -> None:
    """As the command line does."""
    assert RunRequest.read(old / "run.json").runtime is EngineName.LITERT


ENGINES = {
    Engine(runtime=Runtime.LITERT): "2.3.0",
    Engine(runtime=Runtime.LITERT, launcher=Launcher.BENCHMARK_MODEL): "sha256:0123456789abcdef",
    Engine(runtime=Runtime.ONNXRUNTIME): "1.32.0",
    Engine(runtime=Runtime.ONNXRUNTIME, launcher=Launcher.PERF_TEST): "sha256:fedcba9876543210",
    Engine(runtime=Runtime.TFLITE_RUNTIME): "2.14.0",
}
"""Of the settings in the store, in order."""


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_keeps_everything(old: Path, version: int) -> None:
    """Five settings stay five, each with its visits and warning, and what was left open on a device is found."""
    path = old / "measurements.sqlite"
    if version == 1:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("ALTER TABLE blocks DROP COLUMN slow_above_ns; PRAGMA user_version = 1")
    MeasurementStore(path).close()
    with MeasurementStore(path) as store:  # once upgraded it is a store like any other
        settings = store.settings()
        assert {setting.engine: setting.runtime_version for setting in settings} == ENGINES
        for number, setting in enumerate(settings):
            [visits] = store.visits(setting).values()
            runs_ns = tuple(range(1000 * (number + 1), 1000 * (number + 1) + 5))
            assert [(visit.round, visit.runs_ns) for visit in visits] == [(0, runs_ns), (1, runs_ns)]
            assert visits[0].before.temperature_c == 40.0 + number
            assert [warning.message for warning in store.warnings(setting)] == [f"warning {number}"]
        assert store.claim(settings[0]) == OpenSession("/data/session-1", 77)


def test_several_may_open_an_old_store_at_once(old: Path) -> None:
    """One of them upgrades it, the others wait for that."""

    def count(_: int) -> int:
        with MeasurementStore(old / "measurements.sqlite") as store:
            return sum(len(store.named_visits(setting)) for setting in store.settings())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, range(8))) == [10] * 8
