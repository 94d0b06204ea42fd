"""The report in a terminal: what a person wants to read when a run or a validation ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.report import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgewidth.records.measurement import MeasurementWarning
    from edgewidth.records.report import Candidate, Report
    from edgewidth.records.validation import ValidationReport

Lines = list[str]


def summary_text(report: Report) -> str:
    """Device, budget, latency predicted and measured, widths, accuracies and the verdict, a few lines each."""
    facts = [*_device(report), *_latency(report)]
    parts = [_table(facts), _widths(report), _artifacts(report), _warnings(report.warnings)]
    verdict = f"{report.verdict.upper()}: {report.summary}"
    return "\n\n".join("\n".join(part) for part in (*parts, [verdict]) if part)


def validation_text(validation: ValidationReport) -> str:
    """One artifact's measured latency, and whether it is within the budget."""
    estimate, setting = validation.estimate, validation.setting
    facts = [
        ("file", f"{validation.file}, {units.size(validation.size_bytes)}"),
        ("device", setting.hardware),
        ("runtime", f"{setting.runtime} {setting.runtime_version}, {setting.precision}, {setting.threads} thread(s)"),
        (str(estimate.statistic), _with_interval(estimate.value_ms, estimate.low_ms, estimate.high_ms)),
        ("measured", f"{units.plural(estimate.runs, 'run')} in {units.plural(estimate.blocks, 'block')}"),
    ]
    if validation.budget:
        facts.append(("budget", str(validation.budget)))
    parts = [_table(facts), _warnings(validation.warnings)]
    if validation.within_budget is not None:
        parts.append(["WITHIN BUDGET" if validation.within_budget else "OVER BUDGET"])
    return "\n\n".join("\n".join(part) for part in parts if part)


def _table(rows: Sequence[tuple[str, str]]) -> Lines:
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def _with_interval(value: float, low: float, high: float) -> str:
    interval = f"{units.significant(low)} to {units.significant(high)}"
    return f"{units.milliseconds(value)}  (95 % interval {interval})"


def _device(report: Report) -> list[tuple[str, str]]:
    if not report.device:
        return []
    setting = report.device.setting
    runtime = f"{setting.runtime} {setting.runtime_version}, {setting.precision}, {setting.threads} thread(s)"
    return [("device", f"{setting.device}: {setting.hardware}"), ("runtime", runtime)]


def _latency(report: Report) -> list[tuple[str, str]]:
    rows = []
    if report.budget:
        asked = f", asked for as {report.budget_request}" if (report.budget_request or "").endswith("%") else ""
        rows.append(("budget", f"{report.budget}{asked}"))
    for name, found in (("predicted", report.predicted), ("measured", report.measured)):
        if found:
            rows.append((name, _with_interval(found.value_ms, found.low_ms, found.high_ms)))
    full = next((one for one in report.candidates if one.method == "uniform 1.0"), None)
    if full and (full.measured_ms or full.predicted_ms):
        rows.append(("uniform 1.0", _of_candidate(full)))
    return rows


def _of_candidate(candidate: Candidate) -> str:
    if candidate.measured_ms:
        return f"{units.milliseconds(candidate.measured_ms)}  (measured)"
    return f"{units.milliseconds(candidate.predicted_ms)}  (predicted)"


def _widths(report: Report) -> Lines:
    """The chosen widths in one row, the uniform ones under them, in columns."""
    if not report.widths:
        return []
    rows = {"width": [row.variable for row in report.widths], "chosen": [str(row.chosen) for row in report.widths]}
    if report.widths[0].uniform is not None:
        rows["uniform in budget"] = [str(row.uniform) for row in report.widths]
    rows["uniform 1.0"] = [str(row.uniform_full) for row in report.widths]
    columns = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return _table(
        [
            (name, " ".join(f"{cell:>{size}}" for cell, size in zip(cells, columns, strict=True)))
            for name, cells in rows.items()
        ]
    )


def _artifacts(report: Report) -> Lines:
    return _table(
        [
            (one.file, f"{units.percent(one.top1_percent, 2)} top-1, {units.size(one.size_bytes)}")
            for one in report.artifacts
        ]
    )


def _warnings(warnings: Iterable[MeasurementWarning]) -> Lines:
    return [line for one in warnings for line in (f"Warning: {one.message}", f"  → {one.remedy}")]
