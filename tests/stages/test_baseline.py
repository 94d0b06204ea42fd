"""A file is held against an earlier validation: not slower than it may be, and measured alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_onnx import small_onnx

from edgewidth.cli.main import exit_code
from edgewidth.errors import MismatchError
from edgewidth.records.measurement import Statistic
from edgewidth.records.validation import ValidationReport
from edgewidth.stages.baseline import check_baseline
from edgewidth.stages.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

Run = tuple[int, dict[str, Any], str]


@pytest.fixture
def validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs ``edgewidth validate`` on the fake device: its exit code, its document, and its standard error."""
    model = tmp_path / "m.onnx"
    model.write_bytes(small_onnx((64, 64)))

    def run(*words: str) -> Run:
        code = exit_code(["validate", str(model), "--device", "fake", "--runtime", "onnxruntime", "--json", *words])
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else {}, printed.err

    return run


def baseline_of(path: Path, document: dict[str, Any], **changes: object) -> str:
    """A baseline file: a document with another estimate."""
    path.write_text(json.dumps({**document, "estimate": {**document["estimate"], **changes}}))
    return str(path)


@pytest.mark.parametrize(
    ("times", "words", "within"),
    [
        (1.0, (), True),
        (1 / 1.1, (), True),
        (1 / 1.3, (), False),
        (1 / 1.3, ("--max-regression", "40%"), True),
        (1 / 1.1, ("--max-regression", "5%"), False),
        (2.0, (), True),
    ],
)
def test_no_slower_than_it_may_be(
    validate: Callable[..., Run], tmp_path: Path, times: float, words: tuple[str, ...], within: bool
) -> None:
    code, before, _ = validate()
    value_ms = before["estimate"]["value_ms"] * times
    code, document, _ = validate("--baseline", baseline_of(tmp_path / "b.json", before, value_ms=value_ms), *words)
    assert code == (0 if within else 1)
    found = document["regression"]
    assert found["within"] is within
    assert found["baseline_ms"] == value_ms
    assert found["slower_percent"] == pytest.approx(100 * (document["estimate"]["value_ms"] / value_ms - 1))


def test_within_the_budget_and_slower_than_it_may_be(validate: Callable[..., Run], tmp_path: Path) -> None:
    """Either answers with no."""
    _, before, _ = validate()
    baseline = baseline_of(tmp_path / "b.json", before)
    faster = baseline_of(tmp_path / "f.json", before, value_ms=before["estimate"]["value_ms"] / 2)
    assert [validate("--baseline", one, "--budget", "1s")[0] for one in (baseline, faster)] == [0, 1]
    assert validate("--baseline", baseline, "--budget", "0.001ms")[0] == 1


def test_a_limit_inside_the_interval_is_told(validate: Callable[..., Run], tmp_path: Path) -> None:
    _, before, _ = validate()
    value_ms = before["estimate"]["value_ms"] / 1.2
    _, document, _ = validate("--baseline", baseline_of(tmp_path / "b.json", before, value_ms=value_ms))
    assert "close-to-baseline" in {warning["code"] for warning in document["warnings"]}


def test_a_baseline_that_was_measured_otherwise(validate: Callable[..., Run], tmp_path: Path) -> None:
    """On another device, or of another statistic; a newer runtime is what one wants to be told of."""
    _, document, _ = validate()
    code, _, told = validate("--baseline", baseline_of(tmp_path / "b.json", document), "--threads", "2")
    assert code == 2
    assert "threads was 1, now 2" in told
    baseline = ValidationReport.read(tmp_path / "b.json")
    setting, statistic = baseline.setting, baseline.estimate.statistic
    check_baseline(baseline, setting.model_copy(update={"runtime_version": "9"}), statistic, baseline.inputs)
    for other in ({"device": "pi"}, {"hardware": "another"}):
        with pytest.raises(MismatchError, match="measured otherwise"):
            check_baseline(baseline, setting.model_copy(update=other), statistic, baseline.inputs)
    with pytest.raises(MismatchError, match="statistic was median, now p95"):
        check_baseline(baseline, setting, Statistic.P95, baseline.inputs)
    larger = [one.model_copy(update={"shape": (2, *one.shape[1:])}) for one in baseline.inputs]
    with pytest.raises(MismatchError, match="shapes of inputs was 1x"):
        check_baseline(baseline, setting, statistic, larger)


def test_options_that_count_for_nothing(validate: Callable[..., Run], tmp_path: Path) -> None:
    assert "--max-regression counts only with --baseline" in validate("--max-regression", "5%")[2]
    assert validate("--baseline", str(tmp_path / "none.json"))[0] == 2


def test_a_run_folder_gets_what_is_measured(validate: Callable[..., Run], tmp_path: Path) -> None:
    """Where the report looks for it; it is not overwritten unasked, and over the budget it is kept, too."""
    out = tmp_path / "out"
    code, document, _ = validate("--budget", "9s", "--out", str(out))
    assert (code, json.loads((out / "validation.json").read_text())) == (0, document)
    assert RunFolder(out).validation == out / "validation.json"
    code, _, said = validate("--budget", "9s", "--out", str(out))
    assert code == 2
    assert "validation.json exists." in said
    code, document, _ = validate("--budget", "0.0001ms", "--out", str(out), "--force")
    assert (code, ValidationReport.read(out / "validation.json").within_budget) == (1, False)
    code, _, said = validate("--force")
    assert code == 2
    assert "--force counts only with --out." in said
