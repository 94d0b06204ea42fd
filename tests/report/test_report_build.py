"""The report's numbers against the sample's own truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report import sample

from edgewidth.errors import FileError
from edgewidth.graph.families.registry import search_space
from edgewidth.records.artifact import Artifacts
from edgewidth.records.judged import Judged
from edgewidth.records.losses import PairLosses, UnaryLosses
from edgewidth.records.measurement import MeasurementWarning, Statistic
from edgewidth.records.provenance import Provenance
from edgewidth.records.report import Report
from edgewidth.records.run import RunRequest
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.report.candidates import predict_loss, predict_ms, sureness
from edgewidth.report.charts_latency import predicted_against_measured
from edgewidth.report.html import render_html
from edgewidth.report.inputs import read_epochs
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.report import report_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return sample.sample_folder(tmp_path / "run", slower=0.985)


def codes(report: Report) -> set[str]:
    return {warning.code for warning in report.warnings}


@pytest.mark.parametrize(("slower", "verdict"), [(0.985, "within budget"), (1.06, "over budget")])
def test_the_verdict_follows_the_measurement(tmp_path: Path, slower: float, verdict: str) -> None:
    report = report_of(sample.sample_folder(tmp_path, slower=slower))
    assert report.verdict == verdict
    assert report.measured is not None
    assert report.measured.clear
    assert (report.measured.median_ms <= sample.BUDGET_MS) == (verdict == "within budget")
    assert ("below" if verdict == "within budget" else "above") in report.summary


def test_measured_and_predicted_are_what_the_documents_say(folder: RunFolder) -> None:
    report, found = report_of(folder), SearchResult.read(folder.search)
    validation = ValidationReport.read(folder.validation)
    runs = [run / 1e6 for visit in validation.visits for run in visit.runs_ns]
    counted = [run / 1e6 for visit in validation.visits if visit.disturbed is None for run in visit.runs_ns]
    assert report.measured is not None
    assert report.predicted is not None
    assert report.measured.median_ms == pytest.approx(np.median(counted))
    assert report.measured.percentiles_ms["p95"] == pytest.approx(np.quantile(runs, 0.95))
    assert report.measured.counted_percent == 90
    assert report.measured.budget_used_percent == pytest.approx(100 * report.measured.value_ms / sample.BUDGET_MS)
    assert report.predicted.median_ms == found.chosen.predicted_ms
    expected = 100 * (report.measured.value_ms - found.chosen.predicted_ms) / found.chosen.predicted_ms
    assert report.predicted.difference_percent == pytest.approx(expected)


def test_what_does_not_count_is_said(folder: RunFolder) -> None:
    """As soon as more than a tenth of the runs does not count, and where counting them would change the verdict."""
    validation = ValidationReport.read(folder.validation)
    assert "do not count" not in report_of(folder).summary
    for all_ms, said in ((sample.BUDGET_MS * 0.99, "it would be"), (sample.BUDGET_MS * 1.02, "over the budget")):
        often = validation.estimate.model_copy(update={"counted_percent": 60.0, "all_ms": all_ms})
        validation.model_copy(update={"estimate": often}).write(folder.validation)
        summary = report_of(folder).summary
        assert "40 % of its runs do not count, since something disturbed the device" in summary
        assert f"with them it would be {all_ms:.4g} ms" in summary
        assert said in summary


def test_another_statistic_keeps_the_median_beside_it(tmp_path: Path) -> None:
    report = report_of(sample.sample_folder(tmp_path, slower=0.98, statistic=Statistic.P90))
    assert report.measured is not None
    assert report.measured.statistic == "p90"
    assert report.measured.median_ms == report.measured.percentiles_ms["p50"] < report.measured.value_ms
    # The sample's search was about the median, and a p90 must not be held against a predicted median.
    assert report.predicted is not None
    assert report.predicted.difference_percent is None


def test_a_budget_of_another_statistic_gives_no_verdict(folder: RunFolder) -> None:
    """A tail that was measured without a budget is not held against that of the median, nor against its prediction."""
    validation = ValidationReport.read(folder.validation)
    tail = validation.estimate.model_copy(update={"statistic": Statistic.P95})
    own = {"estimate": tail, "budget": None, "within_budget": None}
    validation.model_copy(update=own).write(folder.validation)
    report = report_of(folder)
    assert (report.verdict, report.budget) == ("partial", None)
    assert report.summary.endswith("; no budget of its p95 was given.")
    figure = predicted_against_measured(report)
    assert figure is not None
    assert figure.numbers is not None
    assert "the chosen file" not in {name for name, *_ in figure.numbers.rows}


def test_an_interval_across_the_budget_is_warned_of(tmp_path: Path) -> None:
    report = report_of(sample.sample_folder(tmp_path, slower=1.001))
    assert report.measured is not None
    assert report.measured.clear is False
    assert "close-to-budget" in codes(report)


def test_a_measurement_far_from_its_prediction_is_warned_of(folder: RunFolder, tmp_path: Path) -> None:
    assert "prediction-off" not in codes(report_of(folder))
    assert "prediction-off" in codes(report_of(sample.sample_folder(tmp_path / "slow", slower=1.08)))


def test_accuracies_have_wilson_intervals(folder: RunFolder) -> None:
    first = report_of(folder).artifacts[0]
    n, p, z = 5000, first.accuracy_percent / 100, 1.959963985
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert first.accuracy_low_percent == pytest.approx(100 * (middle - half) / (1 + z * z / n), abs=1e-6)
    assert first.accuracy_high_percent == pytest.approx(100 * (middle + half) / (1 + z * z / n), abs=1e-6)


def test_table_and_losses_predict_the_truth_they_were_made_from() -> None:
    truth = sample.make_truth()
    table, losses = sample.table(truth), sample.losses(truth).model_copy(update={"rivals": None})
    first, second = truth.space.variables[:2]
    values = tuple(tuple(float(a + b) for b in second.choices) for a in first.choices)
    pairs = losses.model_copy(
        update={"pairs": (PairLosses(variables=(first.name, second.name), values=values),), "offset": 0.5}
    )
    for _ in range(20):
        config = truth.space.sample(truth.rng)
        assert predict_ms(table, config) == pytest.approx(truth.latency_ms(config))
        assert predict_loss(losses, config) == pytest.approx(truth.loss(config))
        assert predict_loss(pairs, config) == pytest.approx(truth.loss(config) + config[0] + config[1] + 0.5)


def test_candidates_are_counted_and_measured_where_they_were(folder: RunFolder) -> None:
    by_method = {candidate.method: candidate for candidate in report_of(folder).candidates}
    assert list(by_method) == ["chosen", "runner-up", "uniform 1.0", "uniform", "lagrangian", "greedy"]
    found, table = SearchResult.read(folder.search), LatencyTable.read(folder.table)
    assert found.measured is not None
    assert by_method["chosen"].measured_ms == found.measured.value_ms
    assert by_method["uniform 1.0"].measured_ms == np.median(table.fitted[0].values_ms)
    assert by_method["greedy"].measured_ms is None
    # MobileNet-v1 at 224 pixels and 1000 classes has 568.74 M; at 96 pixels the convolutions do (96 / 224)² of it.
    convolutions = (568_740_352 - 1_024_000) * 96**2 / 224**2
    assert by_method["uniform 1.0"].macs == pytest.approx(convolutions + 10_240, rel=1e-6)


def test_widths_at_an_end_of_their_range_are_said(folder: RunFolder) -> None:
    assert all(row.at_end is None for row in report_of(folder).widths)
    found = SearchResult.read(folder.search)
    widest, narrowest = found.space.variables[0].choices[-1], found.space.variables[1].choices[0]
    config = type(found.chosen.config)((widest, narrowest, *found.chosen.config[2:]))
    found.model_copy(update={"chosen": found.chosen.model_copy(update={"config": config})}).write(folder.search)
    report = report_of(folder)
    assert [row.at_end for row in report.widths[:3]] == ["highest", "lowest", None]
    [warning] = [warning for warning in report.warnings if warning.code == "range-binds"]
    assert warning.message.startswith("At the widest that the search space allows: w0; at the narrowest")
    assert "`max_width`" in warning.remedy
    assert "`min_width`" in warning.remedy


@pytest.mark.parametrize(("images", "told"), [(1, "compared on 1 image,"), (99, "compared on 99 images,"), (100, None)])
def test_a_choice_by_few_images_is_warned_of(folder: RunFolder, images: int, told: str | None) -> None:
    request = RunRequest.read(folder.run)
    data = request.data.model_copy(update={"search": images})
    request.model_copy(update={"data": data}).write(folder.run)
    found = [one.message for one in report_of(folder).warnings if one.code == "few-search-images"]
    assert len(found) == (told is not None)
    assert all(told in message for message in found if told)


def test_what_was_judged_of_another_choice_is_not_shown(folder: RunFolder) -> None:
    """A search that is made again leaves ``judged.json`` behind."""
    chosen, second, full, uniform, *_ = report_of(folder).candidates
    assert second.judged_loss is not None
    assert chosen.judged_loss == pytest.approx((chosen.predicted_loss or 0) + 0.004)
    assert full.judged_loss is None
    assert uniform.behind == pytest.approx((uniform.predicted_loss or 0) - (chosen.predicted_loss or 0))
    found = SearchResult.read(folder.search)
    found.model_copy(update={"chosen": found.alternatives[0]}).write(folder.search)
    assert all(candidate.judged_loss is None for candidate in report_of(folder).candidates)


@pytest.mark.parametrize("until", sample.STAGES)
def test_partial_folders_say_what_is_missing(tmp_path: Path, until: str) -> None:
    report = report_of(sample.sample_folder(tmp_path, until=until, slower=0.985))
    assert report.missing == sample.STAGES[max(1, sample.STAGES.index(until) + 1) :]
    assert (report.verdict == "partial") == (until != "validate")
    assert (report.table is not None) == ("profile" not in report.missing)
    assert (report.measured is None) == ("validate" in report.missing)
    assert all(stage in report.summary for stage in report.missing)


def test_documents_of_an_earlier_choice_do_not_give_a_verdict(folder: RunFolder) -> None:
    found = SearchResult.read(folder.search)
    other = found.model_copy(update={"chosen": found.alternatives[0]})
    other.write(folder.search)
    report = report_of(folder)
    assert (report.verdict, report.artifacts, report.measured) == ("partial", (), None)
    assert report.missing == ("export", "validate")
    assert "out-of-date" in codes(report)


def test_a_measurement_of_another_file_does_not_give_a_verdict(folder: RunFolder) -> None:
    validation = ValidationReport.read(folder.validation)
    validation.model_copy(update={"sha256": "f" * 64}).write(folder.validation)
    report = report_of(folder)
    assert (report.verdict, report.missing) == ("partial", ("validate",))
    assert len(report.artifacts) == 4


def test_files_of_weights_that_have_changed_do_not_give_a_verdict(folder: RunFolder) -> None:
    """Nor does a choice by losses that have changed; what says nothing of its inputs is shown."""
    artifacts, found = Artifacts.read(folder.artifacts), SearchResult.read(folder.search)
    older = {name: Provenance(inputs={name: "0" * 16}) for name in ("weights", "losses")}
    artifacts.model_copy(update={"provenance": older["weights"]}).write(folder.artifacts)
    report = report_of(folder)
    assert (report.verdict, report.missing) == ("partial", ("export", "validate"))
    [warning] = [warning for warning in report.warnings if warning.code == "out-of-date"]
    assert warning.message.endswith("left out; weights: weights.safetensors has changed since.")
    artifacts.write(folder.artifacts)
    found.model_copy(update={"provenance": older["losses"]}).write(folder.search)
    report = report_of(folder)
    assert (report.search, report.missing) == (None, ("search",))
    assert all(candidate.judged_loss is None for candidate in report.candidates)


def test_a_document_of_another_space_is_left_out(folder: RunFolder) -> None:
    other = search_space("mobilenet_v1", resolution=64, in_channels=3, num_classes=10)
    UnaryLosses.read(folder.losses).model_copy(update={"space": other}).write(folder.losses)
    report = report_of(folder)
    assert report.losses is None
    assert report.missing == ("train",)
    assert report.verdict == "within budget"


def test_what_export_warned_of_is_passed_on(folder: RunFolder) -> None:
    assert "quantisation-costs-accuracy" not in codes(report_of(folder))
    warning = MeasurementWarning(code="quantisation-costs-accuracy", message="int8 loses.", remedy="Train longer.")
    Artifacts.read(folder.artifacts).model_copy(update={"warnings": (warning,)}).write(folder.artifacts)
    assert warning in report_of(folder).warnings


def test_a_log_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text('{"epoch": 1, "loss": 0.5, "note": "x", "done": true}\n{"epoch": 2, "loss": NaN}\n{"epoch": 3, "lo')
    assert read_epochs(log) == ({"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0})
    assert read_epochs(tmp_path / "absent.jsonl") == ()
    with pytest.raises(FileError, match="could not be read"):
        read_epochs(tmp_path)


def test_seconds_are_those_of_all_tries(tmp_path: Path) -> None:
    """The first was broken off, and the second was killed while it wrote."""
    folder = sample.sample_folder(tmp_path)
    assert report_of(folder).seconds == {}
    folder.times.write_text('{"profile": 60.1}\n{"train": 100.2}\n{"profile": 0.3}\n{"train": 50.5}\n{"sea')
    assert report_of(folder).seconds == {"profile": 60.4, "train": 150.7}
    assert "train 2 min 31 s, profile 1 min 00 s" in render_html(report_of(folder))


def test_an_empty_folder_and_a_broken_file_are_said(tmp_path: Path, folder: RunFolder) -> None:
    with pytest.raises(FileError, match="nothing to report"):
        report_of(RunFolder(tmp_path / "nowhere"))
    folder.table.write_text("{")
    with pytest.raises(FileError, match="not JSON"):
        report_of(folder)


def test_the_document_round_trips(folder: RunFolder) -> None:
    report = report_of(folder)
    report.write(folder.report_json)
    assert Report.read(folder.report_json) == report


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        (0.003, "too little to tell them apart"),
        (0.005, "the choice is the better one"),
        (-0.005, "the runner-up is the"),
    ],
)
def test_how_sure_the_choice_is_against_its_runner_up(folder: RunFolder, behind: float, said: str) -> None:
    """Two standard errors of the difference on images that no search has seen decide."""
    judged = Judged.read(folder.judged)
    chosen, second, *others = judged.choices
    second = second.model_copy(update={"behind": behind, "behind_error": 0.002})
    judged.model_copy(update={"choices": (chosen, second, *others)}).write(folder.judged)
    text = sureness(report_of(folder).candidates)
    differ = sum(a != b for a, b in zip(chosen.config, second.config, strict=True))
    assert f"differs in {differ} of {len(chosen.config)} widths and loses {abs(behind):.4f} ± 0.0020 nats" in text
    assert said in text
    assert text in render_html(report_of(folder))
    judged.model_copy(update={"choices": (chosen, *others)}).write(folder.judged)
    assert sureness(report_of(folder).candidates) == ""
