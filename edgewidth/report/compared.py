"""Several runs in one page: accuracy against latency, what each came to, and their widths side by side."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from edgewidth.records.compared import ComparedRun, ComparedRuns
from edgewidth.report.figure import Figure, Key, Numbers, Style, drawn
from edgewidth.report.html import emitted_of, page_environment
from edgewidth.report.svg import Picture, Shape, axes, covering
from edgewidth.report.units import ABSENT, count, milliseconds, percent, significant, size

if TYPE_CHECKING:
    from edgewidth.records.report import Report

COLOURS = ("chosen", "uniform", "green", "violet", "plain")
SHAPES: tuple[Shape, ...] = ("circle", "square", "diamond", "triangle")
"""How runs are drawn, both by turns: twenty look different, since 5 and 4 have no common divisor."""
COLUMNS = (
    "run",
    "device",
    "engine",
    "precision",
    "budget",
    "latency",
    "95 % interval",
    "verdict",
    "top-1",
    "float32",
    "size",
    "MACs",
    "parameters",
)


def compared(reports: Sequence[tuple[str, Report]]) -> ComparedRuns:
    """What runs came to, by the names of their folders and in the order given."""
    return ComparedRuns(runs=tuple(_run(name, report) for name, report in reports))


def _run(name: str, report: Report) -> ComparedRun:
    measured, setting, emitted = report.measured, report.device.setting if report.device else None, emitted_of(report)
    same_format = [one for one in report.artifacts if emitted and one.format == emitted.format]
    float32 = next((one for one in same_format if one.precision == "float32"), None)
    chosen = next((one for one in report.candidates if one.method == "chosen"), None)
    return ComparedRun(
        name=name,
        device=setting.device if setting else None,
        engine=f"{setting.engine} {setting.runtime_version}" if setting else None,
        precision=setting.precision if setting else None,
        told=report.words.past,
        budget_ms=report.budget.latency_ms if report.budget else None,
        statistic=measured.statistic if measured else None,
        latency_ms=measured.value_ms if measured else None,
        low_ms=measured.low_ms if measured else None,
        high_ms=measured.high_ms if measured else None,
        verdict=report.verdict,
        accuracy_percent=emitted.accuracy_percent if emitted else None,
        float32_percent=float32.accuracy_percent if float32 else None,
        size_bytes=emitted.size_bytes if emitted else None,
        macs=chosen.macs if chosen else None,
        parameters=chosen.parameters if chosen else None,
        widths={row.variable: row.chosen for row in report.widths},
    )


def summary(runs: ComparedRuns) -> Numbers:
    """A row for every run."""
    return Numbers(COLUMNS, tuple(_row(run) for run in runs.runs))


def side_by_side(numbers: Numbers) -> Numbers:
    """The same with a column for every run: rows would be wider than a page or a terminal."""
    columns = zip(numbers.columns, *numbers.rows, strict=True)
    names, *rows = columns
    return Numbers(names, tuple(rows))


def _row(run: ComparedRun) -> tuple[str, ...]:
    latency = interval = ABSENT
    if run.latency_ms is not None and run.low_ms is not None and run.high_ms is not None:
        latency = f"{milliseconds(run.latency_ms)} ({run.statistic}, {run.told})"
        interval = f"{significant(run.low_ms)} to {significant(run.high_ms)} ms"
    return (
        run.name,
        run.device or ABSENT,
        run.engine or ABSENT,
        run.precision or ABSENT,
        ABSENT if run.budget_ms is None else milliseconds(run.budget_ms),
        latency,
        interval,
        run.verdict,
        ABSENT if run.accuracy_percent is None else percent(run.accuracy_percent, 2),
        ABSENT if run.float32_percent is None else percent(run.float32_percent, 2),
        size(run.size_bytes),
        count(run.macs),
        count(run.parameters),
    )


def widths(runs: ComparedRuns) -> Numbers:
    """A row for every width variable, with a column for every run; runs of other networks have other variables."""
    variables = dict.fromkeys(variable for run in runs.runs for variable in run.widths)
    rows = ((name, *(str(run.widths.get(name, ABSENT)) for run in runs.runs)) for name in variables)
    return Numbers(("width variable", *(run.name for run in runs.runs)), tuple(rows))


def accuracy(runs: ComparedRuns) -> Figure | None:
    """Each emitted file's accuracy over its latency; None where no run has both."""
    points = [
        (run, Style(colour, shape), run.latency_ms, run.accuracy_percent)
        for run, colour, shape in zip(runs.runs, cycle(COLOURS), cycle(SHAPES), strict=False)
        if run.latency_ms is not None and run.accuracy_percent is not None
    ]
    if not points:
        return None

    def draw(width: float) -> Picture:
        picture = Picture("Accuracy over latency of every run's emitted file", width, 340)
        across = [value for run, *_ in points for value in (run.low_ms, run.high_ms) if value is not None]
        plot = axes(picture, covering(across), covering([top for *_, top in points], most=100.0))
        plot.draw(picture, x_label="latency (ms)", y_label="top-1 (%)")
        for run, style, ms, top in points:
            if run.low_ms is not None and run.high_ms is not None:
                picture.line(plot.at(run.low_ms, top), plot.at(run.high_ms, top), "interval")
            hint = f"{run.name}: {milliseconds(ms)}, {percent(top, 2)}"
            picture.mark(plot.at(ms, top), style.kind, shape=style.shape, size=5, hint=hint)
        return picture

    wide, narrow = drawn(draw)
    told = sorted({run.told for run, *_ in points})
    caption = (
        f"Latencies are {' or '.join(told)}, each on its own device; accuracy is what the file's runtime computes."
    )
    keys = tuple(Key(run.name, style.kind, style.shape) for run, style, *_ in points)
    rows = tuple((run.name, milliseconds(ms), percent(top, 2)) for run, _, ms, top in points)
    return Figure("", caption, wide, narrow, keys, Numbers(("run", "latency", "top-1"), rows))


def render_comparison(runs: ComparedRuns) -> str:
    """The page as text, every outside string escaped."""
    template = page_environment().get_template("compared.html.j2")
    table = summary(runs)
    return template.render(
        accuracy=accuracy(runs),
        summary=side_by_side(table),
        widths=widths(runs),
        markdown=as_markdown(table),
        runs=runs.runs,
    )


def as_markdown(numbers: Numbers) -> str:
    """A table as Markdown has it."""
    lines = [numbers.columns, ("---",) * len(numbers.columns), *numbers.rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def as_csv(numbers: Numbers) -> str:
    """A table as a spreadsheet reads it; no cell but a number is taken for a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(numbers.columns)
    for row in numbers.rows:
        writer.writerow(f"'{cell}" if _is_formula(cell) else cell for cell in row)
    return stream.getvalue()


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute it: a number with its sign and unit, such as ``-1.5 %``, is none."""
    return cell[:1] in {"=", "+", "-", "@"} and not re.fullmatch(r"[+-]\d[\d.,]* ?(?:%|\w*)", cell)
