"""How verbs print: JSON or a table on standard output, everything else on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Table

from edgewidth.cli.terminal import console, echo
from edgewidth.cli.values import TableFormat
from edgewidth.cli.wording import with_flags
from edgewidth.progress import harmless
from edgewidth.records.measurement import Accelerator
from edgewidth.records.validation import over_memory
from edgewidth.report.units import listed
from edgewidth.report.verdict import uncounted

if TYPE_CHECKING:
    from edgewidth.documents import Document
    from edgewidth.records.artifact import Artifact
    from edgewidth.records.budget import Budget
    from edgewidth.records.comparison import Comparison
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.measurement import LatencyEstimate, MeasurementWarning
    from edgewidth.records.report import Measured, Report
    from edgewidth.records.search import SearchResult
    from edgewidth.records.table import LatencyTable, TableQuality
    from edgewidth.records.validation import ValidationReport
    from edgewidth.report.figure import Numbers
    from edgewidth.stages.fleet import ProfileOutcome
    from edgewidth.stages.folder import RunFolder

MOST_RESIDUALS = 6
WIDEST = 1_000_000
"""Characters of a line that nobody looks at in a terminal: no cell of a table is folded."""

SENTENCE = 30
"""Cells with spaces that are longer than this many characters are sentences and not names or amounts."""


def print_json(content: Any) -> None:
    """The one JSON document that ``--json`` promises."""
    click.echo(json.dumps(content, indent=1, allow_nan=False))


def print_result(document: Document, *, as_json: bool, text: Callable[[], None]) -> None:
    """A document as its file holds it, schema and version included; or as ``text`` prints it for a person."""
    if as_json:
        click.echo(document.to_json(), nl=False)
    else:
        text()


def print_table(table: Table, *, how: TableFormat = TableFormat.TEXT, err: bool = False) -> None:
    """A table for a person, a text or a spreadsheet.

    For a person names and paths, which may have to be typed, are whole, and sentences fold in a terminal.
    """
    heads = tuple(str(column.header) for column in table.columns)
    rows = tuple(zip(*(map(str, column.cells) for column in table.columns), strict=True))
    if how is not TableFormat.TEXT:
        from edgewidth.report.figure import Numbers  # noqa: PLC0415  help stays instant

        print_numbers(Numbers(heads, rows), how)
        return
    shown = Table(*map(harmless, heads), box=None, show_header=table.show_header)
    for row in rows:
        shown.add_row(*map(harmless, row))
    where = console(stderr=err)
    if not where.is_terminal:
        where.width = WIDEST
    for column in shown.columns:
        cells = [str(cell) for cell in column.cells]
        if not any(" " in cell and len(cell) > SENTENCE for cell in cells):
            column.min_width = max(map(cell_len, [str(column.header), *cells]))
    unlimited = where.options.update(max_width=WIDEST)
    where.width = max(where.width, Measurement.get(where, unlimited, shown).minimum)
    where.print(shown)


def print_numbers(numbers: Numbers, how: TableFormat) -> None:
    """A table alone, as Markdown or CSV."""
    from edgewidth.report.compared import as_csv, as_markdown  # noqa: PLC0415  help stays instant

    echo((as_markdown if how is TableFormat.MARKDOWN else as_csv)(numbers), nl=False)


def say_warnings(warnings: Iterable[MeasurementWarning]) -> None:
    """Each warning with its remedy, on standard error."""
    for warning in sorted(warnings, key=lambda warning: warning.code):
        echo(f"Warning: {with_flags(warning.message)}", err=True)
        echo(f"  → {with_flags(warning.remedy)}", err=True)


def print_report(report: Report, folder: RunFolder) -> None:
    """The summary of a run: the verdict, the device, the widths beside the uniform ones, latency, accuracy."""
    echo(f"{report.verdict.capitalize()}: {report.summary}")
    if report.device:
        setting = report.device.setting
        echo(f"Device: {setting.device} ({setting.hardware}), {setting.engine} {setting.runtime_version},")
        echo(f"        {setting.precision}, {setting.threads} thread(s), clock {setting.clock}")
    if report.widths:
        echo("")
        print_table(_widths(report))
    if report.candidates:
        echo("")
        print_table(_candidates(report))
    if report.measured and report.predicted and report.predicted.difference_percent is not None:
        echo(
            f"\nLatency ({report.measured.statistic}): predicted {report.predicted.value_ms:.4g} ms, "
            f"{report.words.past} {_interval(report.measured)}"
        )
    if report.artifacts:
        echo("")
        print_artifacts(report.artifacts, folder)
    say_warnings(report.warnings)
    echo(f"\nThe report is {folder.report_html}")


def print_artifacts(artifacts: Sequence[Artifact], folder: RunFolder) -> None:
    """Every exported file with its accuracy as its own runtime computes it."""
    table = Table("file", "size", artifacts[0].metric, "agrees with torch", box=None)
    for artifact in artifacts:
        table.add_row(
            str(folder.path / artifact.file),
            f"{artifact.size_bytes / 1e6:.2f} MB",
            f"{artifact.accuracy_percent:.2f} %",
            f"{artifact.agreement_percent:.2f} %",
        )
    print_table(table)


def print_compared(numbers: Numbers) -> None:
    """Runs side by side, a column for each."""
    table = Table(*numbers.columns, box=None)
    for row in numbers.rows:
        table.add_row(*row)
    print_table(table)


def _print_verdict(validation: ValidationReport, budget: Budget) -> None:
    used = 100 * validation.estimate.value_ms / budget.latency_ms
    verdict = "Within" if validation.within_budget else "Over"
    echo(f"{verdict} the budget of {budget}: {used:.1f} % of it.")
    if memory := over_memory(validation.ran, budget):
        echo(f"It takes {memory}.")


def _print_what_ran(validation: ValidationReport) -> None:
    """Loading, where it ran, and what that took."""
    if validation.load_ms is not None and validation.first_ms is not None:
        echo(f"Loading it took {validation.load_ms:.3g} ms, the first inference {validation.first_ms:.3g} ms.")
    for where in (validation.ran, validation.micro):
        if where is not None:
            echo(f"{where}.")
    if validation.energy:
        echo(f"Energy: {validation.energy[0]}.")


def print_validation(validation: ValidationReport) -> None:
    """One file's latency, the verdict where there is a budget, and what makes it less trustworthy."""
    setting = validation.setting
    where = f"{setting.device}, {setting.engine} {setting.runtime_version}, {setting.threads} thread(s)"
    echo(f"{validation.file}: {validation.estimate.statistic} {_interval(validation.estimate)} on {where}")
    _print_what_ran(validation)
    if validation.signature is not None:
        past = setting.clock.words.past
        echo(f"Of its signatures or graphs {validation.signature} was {past}; --signature chooses another.")
    if validation.inputs:
        echo(f"Given {'; '.join(map(str, validation.inputs))}.")
    if validation.budget is not None:
        _print_verdict(validation, validation.budget)
    if validation.regression is not None:
        compared = validation.regression
        told = "allowed" if compared.within else "too much"
        echo(
            f"{compared.slower_percent:+.1f} % against the baseline of {compared.baseline_ms:.4g} ms "
            f"({compared.file}): {told}, {compared.most_percent:g} % may be."
        )
    if rest := uncounted(validation.estimate, validation.budget, setting.clock):
        echo(f"{rest[0].upper()}{rest[1:]}.")
    if validation.sustained is not None:
        load = validation.sustained
        echo(
            f"After {load.duration_s:.0f} s without a pause: {load.last_ms:.4g} ms, {load.drift_percent:+.1f} % "
            f"against {load.first_ms:.4g} ms at the beginning."
        )
    say_warnings(validation.warnings)


def print_comparison(comparison: Comparison) -> None:
    """Every way with its latencies on standard error, the fastest first, and how to ask for that one."""
    from edgewidth.devices.engines.table import support_of  # noqa: PLC0415  help stays instant

    table = Table("runtime", "precision", "threads", *map(str, comparison.configs), "", box=None)
    for one in comparison.ways:
        latencies = [f"{latency.value_ms:.4g} ms" for latency in one.latencies] or ["–"] * len(comparison.configs)
        row = (str(one.way.engine), one.way.precision, str(one.way.threads), *latencies)
        table.add_row(*row, with_flags(one.failure or ""))
    print_table(table, err=True)
    if len(of_engines := comparison.fastest_of_engines) > 1:
        told = (f"{one.way} ({one.latencies[0].value_ms:.4g} ms)" for one in of_engines)
        echo(f"The fastest of each runtime: {', '.join(told)}", err=True)
    if comparison.fastest is not None:
        way = comparison.fastest.way
        accelerator = "" if way.engine.accelerator is Accelerator.CPU else f" --accelerator {way.engine.accelerator}"
        options = f"--runtime {support_of(way.engine).name}{accelerator} --precision {way.precision}"
        options += f" --threads {way.threads}"
        echo(f"The fastest on {comparison.device}: {options}", err=True)


def print_quality(outcome: ProfileOutcome) -> None:
    """How profiling one device ended."""
    if outcome.quality is None:
        echo(f"{outcome.device}: {with_flags(outcome.error or '')}", err=True)
        if outcome.remedy:
            echo(f"  → {with_flags(outcome.remedy)}", err=True)
        return
    echo(f"{outcome.device}: {_describe_quality(outcome.quality)}")
    echo(f"  uniform 1.0: {outcome.uniform_ms:.4g} ms; smallest: {outcome.smallest_ms:.4g} ms")
    echo(f"  {with_flags(outcome.quality.verdict)}")
    echo(f"  {outcome.table}")


def print_entries(latency_table: LatencyTable, *, how: TableFormat = TableFormat.TEXT) -> None:
    """A latency table: what it belongs to, how good it is, what each layer needs at its narrowest and widest.

    As Markdown or CSV, what each layer needs alone.
    """
    if how is not TableFormat.TEXT:
        print_table(_entries(latency_table), how=how)
        return
    setting = latency_table.setting
    echo(
        f"{setting.device} ({setting.hardware}), {setting.engine} {setting.runtime_version}, {setting.precision}, "
        f"{setting.threads} thread(s), clock {setting.clock}, {latency_table.statistic}"
    )
    echo(_describe_quality(latency_table.quality))
    echo(f"{with_flags(latency_table.quality.verdict)}\n")
    print_table(_entries(latency_table))
    _print_residuals(latency_table)


def _entries(latency_table: LatencyTable) -> Table:
    table = Table("layer", "depends on", "narrowest", "widest", box=None)
    for entry in latency_table.entries:
        flat = [value for row in entry.values_ms for value in row]
        table.add_row(entry.layer, ", ".join(entry.scope) or "–", f"{flat[0]:.4g} ms", f"{flat[-1]:.4g} ms")
    table.add_row("everything else", "–", f"{latency_table.offset_ms:.4g} ms", f"{latency_table.offset_ms:.4g} ms")
    (least, first), (most, last) = latency_table.curve[0], latency_table.curve[-1]
    table.add_row("as one network", "their sum", f"{first / least - 1:+.2%}", f"{last / most - 1:+.2%}")
    return table


def _print_residuals(latency_table: LatencyTable) -> None:
    """The widths at which the held-out predictions err most."""
    from edgewidth.latency.quality import residuals  # noqa: PLC0415  help stays instant

    found = [one for one in residuals(latency_table) if one.configs > 1]
    if not found:
        return
    table = Table("errs most at", "width", "held-out networks", "mean error", "mean size of errors", box=None)
    for one in sorted(found, key=lambda one: -abs(one.mean_percent))[:MOST_RESIDUALS]:
        row = (
            one.variable,
            str(one.width),
            str(one.configs),
            f"{one.mean_percent:+.2f} %",
            f"{one.mape_percent:.2f} %",
        )
        table.add_row(*row)
    echo("")
    print_table(table)


def print_losses(losses: UnaryLosses, path: Path) -> None:
    """What each variable costs at its narrowest, and how well the losses predict."""
    echo(f"{len(losses.fitted)} configurations fitted ({losses.evaluation.stopped}); of those held out:")
    for held in losses.held_out:
        quality = held.quality
        echo(
            f"  {quality.held_out} {held.kind}: rank correlation {quality.spearman:.3f}, R² {quality.r2:.3f}, "
            f"residual {quality.residual_sigma:.4f}"
        )
    table = Table("width variable", "loss at its narrowest", box=None)
    for variable in losses.variables:
        table.add_row(variable.variable, f"{variable.values[0]:+.4f} ± {variable.standard_errors[0]:.4f}")
    print_table(table)
    echo(str(path))


def print_search(result: SearchResult, path: Path, *, how: TableFormat = TableFormat.TEXT) -> None:
    """The choice beside what the baselines would have chosen; as Markdown or CSV, these alone."""
    table = Table("method", "predicted", "excess loss", "widths", box=None)
    own = "bounded" if result.certificate.bounded and result.certificate.gap > 0 else "exact"
    for name, choice in {own: result.chosen, **result.baselines}.items():
        table.add_row(name, f"{choice.predicted_ms:.4g} ms", f"{choice.predicted_loss:.4f}", str(choice.config))
    if how is not TableFormat.TEXT:
        print_table(table, how=how)
        return
    echo(f"Budget {result.budget}")
    print_table(table)
    told = (
        f"No configuration within the budget is better by more than {result.certificate.gap:.2g} under these numbers."
    )
    echo(" ".join(part for part in (told, result.certificate.reservation) if part))
    echo(str(path))


def _widths(report: Report) -> Table:
    table = Table("width variable", "layers", "chosen", "uniform in the budget", "uniform 1.0", box=None)
    for row in report.widths:
        uniform = "–" if row.uniform is None else str(row.uniform)
        end = f" ({row.at_end})" if row.at_end else ""
        table.add_row(row.variable, listed(row.layers, 2), f"{row.chosen}{end}", uniform, str(row.uniform_full))
    return table


def _candidates(report: Report) -> Table:
    table = Table("method", "predicted", report.words.past, "excess loss", "MACs", "parameters", box=None)
    for row in report.candidates:
        table.add_row(
            row.method,
            _milliseconds(row.predicted_ms),
            _milliseconds(row.measured_ms),
            "–" if row.predicted_loss is None else f"{row.predicted_loss:.4f}",
            f"{row.macs / 1e6:.1f} M",
            f"{row.parameters / 1e6:.2f} M",
        )
    return table


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g} ms"


def _interval(estimate: LatencyEstimate | Measured) -> str:
    return f"{estimate.value_ms:.4g} ms (95 % interval {estimate.low_ms:.4g} to {estimate.high_ms:.4g})"


def _describe_quality(quality: TableQuality) -> str:
    return (
        f"{quality.fitted} networks fitted; on {quality.held_out} held out the error is {quality.mape_percent:.2f} % "
        f"(worst {quality.worst_percent:.2f} %, noise {quality.noise_percent:.2f} %)."
    )
