"""Documents: what is written is read back; what is not theirs is refused; a full disk destroys nothing."""

from __future__ import annotations

import json
import os
import resource
import stat
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import ValidationError

from edgewidth.documents import Document
from edgewidth.errors import FileError, InputError, StorageError
from edgewidth.files import write_atomic
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.budget import Budget, BudgetRequest
from edgewidth.records.losses import (
    BudgetDoubt,
    EvaluatedConfig,
    EvaluationPhase,
    EvaluationRound,
    HeldOutLosses,
    LossQuality,
    PairLosses,
    UnaryLosses,
    VariableLosses,
)
from edgewidth.records.measurement import FormatName, LatencyEstimate, Runtime, Statistic
from edgewidth.records.search import Certificate, Choice, FrontierPoint, RefineStep, SearchResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
ESTIMATE = LatencyEstimate(statistic=Statistic.P95, value_ms=1.9, low_ms=1.8, high_ms=2.0, visits=8, runs=400)


def choice(config: ChannelConfig) -> Choice:
    return Choice(config=config, predicted_ms=0.1 + 0.2, low_ms=0.2, high_ms=0.4, predicted_loss=1 / 3)


def search_result() -> SearchResult:
    uniform = SPACE.uniform(0.5)
    return SearchResult(
        space=SPACE,
        budget=Budget(latency_ms=2.0, statistic=Statistic.P95),
        chosen=choice(SPACE.uniform(0.7)),
        certificate=Certificate(lower_bound=0.3, gap=1e-17, grid_error_ms=0.001),
        frontier=(FrontierPoint(config=uniform, predicted_ms=1.0, predicted_loss=0.5),),
        alternatives=(choice(uniform), choice(SPACE.smallest)),
        baselines={"uniform": choice(uniform), "greedy": choice(SPACE.largest)},
        refinement=(RefineStep(round=1, config=uniform, predicted_ms=1.9, measured=ESTIMATE, within_budget=True),),
        measured=ESTIMATE,
    )


def unary_losses() -> UnaryLosses:
    evaluated = EvaluatedConfig(config=SPACE.smallest, excess_loss=-0.001)
    return UnaryLosses(
        space=SPACE,
        data_fingerprint="0123456789abcdef",
        images=1000,
        offset=0.01,
        variables=tuple(
            VariableLosses(variable=v.name, values=(0.1,) * len(v.choices), standard_errors=(0.0,) * len(v.choices))
            for v in SPACE.variables
        ),
        pairs=(PairLosses(variables=("w0", "w1"), values=((0.0,) * 11,) * 6),),
        fitted=(evaluated,),
        held_out=(
            HeldOutLosses(
                kind="near the budget",
                evaluated=(evaluated, evaluated),
                quality=LossQuality(held_out=2, spearman=0.9, r2=0.8, residual_sigma=0.01),
            ),
        ),
        sigma=0.01,
        evaluation=EvaluationPhase(
            cost="latency",
            stopped="settled",
            rounds=(EvaluationRound(fitted=1, doubts=(BudgetDoubt(budget=2.0, regret=0.1, gain=1 / 3),)),),
        ),
        max_loss=0.4,
    )


@pytest.mark.parametrize("make", [search_result, unary_losses])
def test_documents_are_read_back_equal(make: Callable[[], SearchResult | UnaryLosses], tmp_path: Path) -> None:
    """Every field, to the last bit, configurations as text."""
    document = make()
    path = tmp_path / "folder" / "document.json"
    document.write(path)
    again = type(document).read(path)
    assert again == document
    assert again.to_json() == document.to_json()
    assert isinstance(again.space.smallest, ChannelConfig)


def test_a_document_is_json_for_people(tmp_path: Path) -> None:
    """The schema comes first, and a configuration is one short text."""
    path = tmp_path / "search.json"
    search_result().write(path)
    content = json.loads(path.read_text())
    assert list(content)[:2] == ["schema", "schema_version"]
    assert content["schema"] == "edgewidth/search-result"
    assert content["alternatives"][1]["config"] == str(SPACE.smallest)
    assert content["budget"]["latency_ms"] == 2.0
    assert content["budget"]["statistic"] == "p95"


def test_records_do_not_change() -> None:
    """Frozen, and no field that is not theirs."""
    record = Budget(latency_ms=2.0)
    with pytest.raises(ValidationError):
        record.latency_ms = 3.0  # type: ignore[misc]  # what is tested
    with pytest.raises(ValidationError, match="Extra inputs"):
        Budget.model_validate({"latency_ms": 2.0, "target": 3})


def written(tmp_path: Path, **change: Any) -> Path:
    path = tmp_path / "search.json"
    content = json.loads(search_result().to_json()) | change
    path.write_text(json.dumps({name: value for name, value in content.items() if value != "absent"}))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "edgewidth/latency-table"}, "is not an edgewidth/search-result file"),
        ({"schema": "absent"}, "its schema is None"),
        ({"schema_version": 0}, "should be a number from 1"),
        ({"schema_version": True}, "should be a number from 1"),
        ({"schema_version": "1"}, "should be a number from 1"),
        ({"chosen": "absent"}, "chosen: Field required"),
        ({"chosen": {}}, "chosen.config: Field required"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"budget": {"latency_ms": -1}}, "budget.latency_ms: Input should be greater than 0"),
        ({"frontier": [{"config": "8-x", "predicted_ms": 1, "predicted_loss": 1}]}, "'8-x' is not a channel"),
        ({"certificate": {"lower_bound": float("nan"), "gap": 0, "grid_error_ms": 0}}, "NaN is not a number"),
    ],
)
def test_documents_that_are_wrong(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """One sentence that names the file and the field."""
    path = written(tmp_path, **change)
    with pytest.raises(FileError) as caught:
        SearchResult.read(path)
    assert message in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["variables"].pop(), "the losses are of w0, w1"),
        (lambda content: content["variables"].reverse(), "and not of w0, w1"),
        (lambda content: content["variables"][1]["values"].pop(), "the losses of w1 are not 11, one for every choice"),
        (lambda content: content["variables"][1]["standard_errors"].append(0.1), "the losses of w1 are not 11"),
        (lambda content: content["space"]["variables"][1]["choices"].pop(), "the losses of w1 are not 10"),
        (lambda content: content["pairs"][0]["values"].pop(), "the pair w0 and w1 does not have 6 × 11 values"),
        (lambda content: content["pairs"][0].update(variables=["w0", "w99"]), "the pair w0 and w99"),
        (lambda content: content["fitted"][0].update(config="7-7"), "The channel configuration 7-7 has 2 widths"),
        (
            lambda content: content.update(
                narrowing=[{"done": 0.5, "temperature": 0.1, "mean_ms": 2, "marginals": [[1]]}]
            ),
            "the narrowing does not have a probability for every choice",
        ),
    ],
)
def test_losses_that_are_not_of_their_space(change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    """A search would take them for those of other widths."""
    path = tmp_path / "losses.json"
    content = json.loads(unary_losses().to_json())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileError) as caught:
        UnaryLosses.read(path)
    assert message in caught.value.message
    assert str(path) in caught.value.message


class _Renamed(Document):
    schema_name: ClassVar[str] = "edgewidth/renamed"
    schema_version: ClassVar[int] = 3

    new: int

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        if version < 2:
            content["middle"] = content.pop("old")
        return {"new": content["middle"]}


@pytest.mark.parametrize(("version", "content"), [(1, {"old": 7}), (2, {"middle": 7}), (3, {"new": 7})])
def test_older_documents_are_upgraded(version: int, content: dict[str, int], tmp_path: Path) -> None:
    """A field that was renamed twice is read from all three versions, and the current version is not touched."""
    path = tmp_path / "renamed.json"
    path.write_text(json.dumps({"schema": "edgewidth/renamed", "schema_version": version, **content}))
    assert _Renamed.read(path) == _Renamed(new=7)


def test_an_older_document_that_lacks_what_its_version_has_is_refused(tmp_path: Path) -> None:
    """The message names the file, its version and the field, and it is no traceback."""
    path = tmp_path / "renamed.json"
    path.write_text('{"schema": "edgewidth/renamed", "schema_version": 1, "new": 7}')
    with pytest.raises(FileError, match=r"renamed\.json is not as schema_version 1 says: KeyError\('old'\)"):
        _Renamed.read(path)


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Whatever else it holds: its fields are not even looked at."""
    path = written(tmp_path, schema_version=99, unknown="field")
    with pytest.raises(FileError, match="newer edgewidth: its schema_version is 99") as caught:
        SearchResult.read(path)
    assert caught.value.remedy == "pip install --upgrade edgewidth"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"schema": "edgewidth/sea', "is not JSON: .* in line 1"),
        (b"[1, 2]", "is not a JSON object"),
        (b"\xff\xfe\x00", "it is not text"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON that edgewidth wrote"),
        (b'{"a": ' * 200_000, "is not JSON that edgewidth wrote"),
    ],
)
def test_files_that_are_no_documents(content: bytes, message: str, tmp_path: Path) -> None:
    """Empty, cut off, binary, or made to break a parser."""
    path = tmp_path / "search.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        SearchResult.read(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No such file, and a folder."""
    with pytest.raises(FileError, match="No such file"):
        SearchResult.read(tmp_path / "search.json")
    with pytest.raises(FileError, match="Is a directory"):
        SearchResult.read(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The kernel refuses the write after 4,096 bytes: the old content stays, and nothing else lies around."""
    path = tmp_path / "search.json"
    write_atomic(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StorageError) as caught:
            write_atomic(path, b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 3
    assert str(path) in caught.value.message
    assert "what was done so far stays" in str(caught.value.remedy)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file is where the folder should be."""
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match="could not be written"):
        write_atomic(tmp_path / "run" / "search.json", b"new")


def test_written_files_have_the_rights_of_others(tmp_path: Path) -> None:
    """Not those of a temporary file, which only its owner may read."""
    mask = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("8ms", 8.0, "ms"),
        ("0.4s", 400.0, "ms"),
        ("60%", 60.0, "%"),
        (" .5 ms ", 0.5, "ms"),
        ("7.123456789ms", 7.123456789, "ms"),
    ],
)
def test_budgets_as_people_write_them(text: str, value: float, unit: str) -> None:
    """And as text again the same budget, digit for digit."""
    request = BudgetRequest.parse(text)
    assert request.value == pytest.approx(value)
    assert request.unit == unit
    assert BudgetRequest.parse(str(request)) == request


@pytest.mark.parametrize("text", ["0ms", "-3ms", "8", "fast", "60 %x", "", "ms", "1e3ms", "9" * 400 + "ms"])
def test_budgets_that_are_none(text: str) -> None:
    """Each is refused with examples of one."""
    with pytest.raises(InputError, match="is not a budget") as caught:
        BudgetRequest.parse(text)
    assert "8ms" in str(caught.value.remedy)


def test_a_share_is_of_the_full_network() -> None:
    """60 % of 5 ms; milliseconds stay what they are."""
    assert BudgetRequest.parse("60%").resolve(5.0, Statistic.P95) == Budget(latency_ms=3.0, statistic=Statistic.P95)
    assert BudgetRequest.parse("8ms").resolve(5.0, Statistic.MEDIAN).latency_ms == 8.0


def test_statistics_and_runtimes_know_what_they_mean() -> None:
    """The quantile of a name, and the file a runtime loads."""
    assert [statistic.quantile for statistic in Statistic] == [0.5, 0.9, 0.95, 0.99]
    assert Runtime.ONNXRUNTIME.file_format is FormatName.ONNX
    assert Runtime.LITERT.file_format is FormatName.TFLITE
