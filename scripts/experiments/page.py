"""The results as a page: tables and pictures between two marks in ``results.md``; what is around them stays."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from choosing import Choice
from comparing import COMPARISONS, Mean, Row, fewer_errors
from protocol import COMPARED, METHODS
from supernets import supernet_lines

from edgewidth.files import write_atomic
from edgewidth.records.artifact import Artifacts
from edgewidth.records.measurement import Precision
from edgewidth.report.figure import Style, style_of
from edgewidth.report.svg import Picture, axes, covering

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protocol import Experiment

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GAP = 14.0
"""Between points of one budget, in pixels."""
LEGEND = 120.0
"""How wide the margin is that says which mark is which method, in pixels."""
STYLE = """<style>
svg { background: #fff; font: 13px sans-serif; } .grid { stroke: #ddd; } .axis { stroke: #666; }
.tick, .axis-label { fill: #444; } .bar { stroke: #555; } .chosen { fill: #c0392b; } .uniform { fill: #7f8c8d; }
.green { fill: #2e8b57; } .violet { fill: #6c3fa0; } .sky { fill: none; stroke: #3a8fb7; stroke-width: 2.4; }
</style>"""
KINDS = {"exact": "chosen", "narrowed": "evolutionary"}
"""As which method of the report each is drawn, where it is not one of them."""


def finished(experiment: Experiment) -> list[Row]:
    """The final networks that are trained, exported and measured."""
    path = experiment.folder / "latencies.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = []
    for final in experiment.finals:
        folder = experiment.final(final)
        if not folder.artifacts.exists():
            continue
        choice, artifacts = Choice.read(experiment.choice(final)), Artifacts.read(folder.artifacts)
        top1 = {a.precision: a.accuracy_percent for a in artifacts.artifacts if a.format == "tflite"}
        # The chosen variant's own measurement, until the trained files' are there.
        latency_ms = measured.get(str(final), {}).get("value_ms", choice.measured.value_ms)
        used = 100 * latency_ms / choice.budget_ms
        accuracy = top1[Precision.INT8], top1[Precision.FLOAT32]
        rows.append(Row(final, str(choice.config), latency_ms, used, *accuracy))
    return rows


def write_page(experiments: Sequence[Experiment], docs: Path) -> None:
    """Write ``results.md``, a picture for each experiment, and the numbers of each as JSON."""
    page = docs / "results.md"
    before, after = f"# Results\n\n{BEGIN}", f"{END}\n"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    parts = []
    for experiment in experiments:
        rows = finished(experiment)
        if not rows:
            continue
        name = experiment.protocol.name.lower()
        pictures = docs / "results"
        pictures.mkdir(parents=True, exist_ok=True)
        write_atomic(pictures / f"{name}.svg", _picture(rows).encode())
        numbers = [row._asdict() | {"final": row.final._asdict()} for row in rows]
        write_atomic(pictures / f"{name}.json", (json.dumps(numbers, indent=1) + "\n").encode())
        parts += [_section(experiment, rows)]
    write_atomic(page, f"{before}\n\n{''.join(parts)}{after}".encode())


def _section(experiment: Experiment, rows: Sequence[Row]) -> str:
    protocol = experiment.protocol
    budgets = " ".join(f"{budget:g}" for budget in protocol.budgets)
    twice = f" --twice {' '.join(f'{budget:g}' for budget in protocol.twice)}" if protocol.twice else ""
    train, search, judge, test = protocol.images
    what = f"--data {protocol.data.rsplit('/', 1)[-1]} --name {protocol.name} --device {protocol.device}"
    methods = f" --methods {' '.join(protocol.methods)}" if protocol.methods != COMPARED else ""
    how = f"--folder FOLDER --budgets {budgets}{twice}{methods} --seeds {len(protocol.seeds)}"
    lines = [
        f"## {protocol.name}",
        "",
        f"{len(rows)} of {len(experiment.finals)} final networks are done. {train:,} images trained, {search:,} were",
        f"searched on, {judge:,} judged, {test:,} tested. Device: `{protocol.device}`, int8, one thread;",
        f"widths from {protocol.min_width:g} to {protocol.max_width:g} of MobileNet-v1's at {protocol.resolution} px.",
        "",
        "```",
        f"scripts/experiments/equal_latency.py run {what} {how}",
        "scripts/experiments/equal_latency.py page FOLDER",
        "```",
        "",
        f"![Accuracy against measured latency](results/{protocol.name.lower()}.svg)",
        "",
        "Points of one budget have one latency and are drawn side by side. Intervals are 95 %, by how the trainings of",
        "all choices scatter.",
        "",
        *_table(rows),
        "",
        *_comparisons(rows),
        "",
        *supernet_lines(experiment),
    ]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| budget | method | supernet | networks | latency (ms) | of the budget | int8 top-1 (%) | float32 top-1 (%) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = _by_choice(rows)
    int8 = Mean.each([[row.int8 for row in some] for some in groups])
    float32 = Mean.each([[row.float32 for row in some] for some in groups])
    for some, of_int8, of_float32 in zip(groups, int8, float32, strict=True):
        final = some[0].final
        supernet = "" if final.method == "uniform" else str(final.supernet)
        lines.append(
            f"| uniform {final.budget:g} | {final.method} | {supernet} | {len(some)} | {some[0].latency_ms:.4f} "
            f"| {min(row.used for row in some):.2f} % | {of_int8} | {of_float32} |"
        )
    return lines


def _by_choice(rows: Sequence[Row]) -> list[list[Row]]:
    """The networks of every choice, by budget, supernet and method."""

    def place(row: Row) -> tuple[float, int, int]:
        return row.final.budget, row.final.supernet, METHODS.index(row.final.method)

    return [list(group) for _, group in groupby(sorted(rows, key=place), key=place)]


def _comparisons(rows: Sequence[Row]) -> list[str]:
    lines = [
        "How many fewer errors the int8 files make, the mean of all choices, with two 95 % intervals: the one that",
        "more final trainings of these same choices would narrow, and that over choices, as if these were independent",
        "(a choice is one budget and supernet; against uniform networks, one budget).",
        "",
        "| | fewer errors (%) | interval over choices | choices | pairs |",
        "|---|---|---|---|---|",
    ]
    for method, other in COMPARISONS:
        found = fewer_errors(rows, method, other)
        if found.pairs:
            wide = found.over_choices.half
            over = f"± {wide:.2f}" if np.isfinite(wide) else ""
            lines.append(f"| {method} over {other} | {found.mean} | {over} | {len(found.choices)} | {found.pairs} |")
    worst = max(row.float32 - row.int8 for row in rows)
    below = f"The int8 file of the worst network is {worst:.2f} points below its float32 file."
    return [*lines, "", below]


def _style(method: str) -> Style:
    return style_of(KINDS.get(method, method))


def _picture(rows: Sequence[Row]) -> str:
    """Accuracy against measured latency: the mean of every choice's networks with its 95 % interval.

    Latencies of one budget are equal, so its points are drawn side by side.
    """
    picture = Picture("Accuracy of final networks against their measured latency", 760, 380)
    groups = _by_choice(rows)
    points = list(zip(groups, Mean.each([[row.int8 for row in group] for group in groups]), strict=True))
    spread = [m.value + sign * (m.half if np.isfinite(m.half) else 0) for _, m in points for sign in (-1, 1)]
    # With a tenth beside them, else one budget alone would be drawn as if its latencies differed.
    latencies = covering([row.latency_ms * share for row in rows for share in (0.9, 1.1)])
    plot = axes(picture, latencies, covering(spread), right=LEGEND)
    plot.draw(picture, x_label="measured latency (ms)", y_label="int8 top-1 (%)")
    for _, beside in groupby(points, key=lambda point: point[0][0].final.budget):
        side_by_side = list(beside)
        for place, (group, mean) in enumerate(side_by_side):
            x, y = plot.at(group[0].latency_ms, mean.value)
            x += GAP * (place - (len(side_by_side) - 1) / 2)
            kind, shape = _style(group[0].final.method)
            if np.isfinite(mean.half):
                low, high = (plot.at(0, mean.value + sign * mean.half)[1] for sign in (-1, 1))
                picture.line((x, low), (x, high), "bar")
            picture.mark((x, y), kind, shape=shape, hint=f"{group[0].final.choice}: {mean}")
    for place, method in enumerate(sorted({row.final.method for row in rows}, key=METHODS.index)):
        kind, shape = _style(method)
        y = 50.0 + 20 * place
        picture.mark((picture.width - LEGEND + 24, y), kind, shape=shape)
        picture.text((picture.width - LEGEND + 38, y + 4), method)
    head, _, body = str(picture.markup()).removeprefix("<svg").partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head}>{STYLE}{body}\n'
