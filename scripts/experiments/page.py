"""The results as a page: tables and pictures between two marks in ``results.md``; what is around them stays."""

from __future__ import annotations

import re
from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np
from comparing import Mean, comparison_lines
from protocol import COMPARED, METHODS
from results import Results
from supernets import supernet_lines

from edgewidth.files import write_atomic
from edgewidth.report.figure import Style, style_of
from edgewidth.report.svg import Picture, axes, covering

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from comparing import Row
    from protocol import Experiment, Protocol

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GAP = 14.0
"""Between points of one budget, in pixels."""
LEGEND = 120.0
"""How wide the margin is that says which mark is which method, in pixels."""
STYLE = """<style>
svg { background: #fff; font: 13px sans-serif; } .grid { stroke: #ddd; } .axis { stroke: #666; }
.tick, .axis-label { fill: #444; } .bar { stroke: #555; } .chosen { fill: #c0392b; } .uniform { fill: #7f8c8d; }
.uniform.hollow { fill: none; stroke: #7f8c8d; stroke-width: 2; }
.green { fill: #2e8b57; } .green.hollow { fill: none; stroke: #2e8b57; stroke-width: 2; } .plain { fill: #1f6fb2; }
.violet { fill: #6c3fa0; } .sky { fill: none; stroke: #3a8fb7; stroke-width: 2.4; }
</style>"""
KINDS = {"corrected": "chosen", "cut": "uniform 1.0", "narrowed": "evolutionary"}
"""As which method of the report each is drawn, where it is not one of them."""
PUBLISHED = Style("green hollow", "diamond")
"""As the other greedy method, but hollow."""


def write_page(experiments: Sequence[Experiment], docs: Path) -> None:
    """Write ``results.md``, a picture for each experiment, and the results of each as JSON.

    What is there already stays, of other experiments and of other supernets of these: of one protocol every machine may
    have some.

    Raises:
        FileError: One of those files is damaged.
        MismatchError: One has an experiment's name, and is of another protocol or other budgets.
        StorageError: A file cannot be written.
    """
    page, folder = docs / "results.md", docs / "results"
    before, after = f"# Results\n\n{BEGIN}", f"{END}\n"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    known = {path.stem: Results.read(path) for path in sorted(folder.glob("*.json"))}
    for experiment in experiments:
        results, name = Results.of(experiment), _file_name(experiment.protocol)
        if results is not None:
            known[name] = results.joined(known[name]) if name in known else results
    folder.mkdir(parents=True, exist_ok=True)
    for name, results in known.items():
        results.write(folder / f"{name}.json")
        write_atomic(folder / f"{name}.svg", _picture(results.networks).encode())
    parts = [_section(results) for results in known.values()]
    write_atomic(page, f"{before}\n\n{''.join(parts)}{after}".encode())


def _file_name(protocol: Protocol) -> str:
    return re.sub("[^a-z0-9]+", "-", protocol.name.lower())


def _section(results: Results) -> str:
    protocol, rows = results.protocol, results.networks
    budgets = " ".join(f"{budget:g}" for budget in protocol.budgets)
    train, search, judge, test = protocol.images
    what = f"--data {protocol.data} --name {quote(protocol.name)} --device {protocol.device}"
    methods = f" --methods {' '.join(protocol.methods)}" if protocol.methods != COMPARED else ""
    lengths = f"--supernets {protocol.supernets} --seeds {len(protocol.seeds)} --passes {protocol.passes}"
    how = f"--folder FOLDER --budgets {budgets}{methods} {lengths}"
    if protocol.weights:
        how += f" --network {protocol.network} --weights {protocol.weights}"
        how += f" --min-width {protocol.min_width:g} --max-width {protocol.max_width:g} --levels {protocol.levels}"
        how += f" --images {protocol.first_images} --resolution {protocol.resolution}"
    lines = [
        f"## {protocol.name}",
        "",
        f"{len(rows)} of {len(protocol.finals)} final networks are done. {train:,} images trained, {search:,} were",
        f"searched on, {judge:,} judged, {test:,} tested. Device: `{protocol.device}`, int8, one thread. Widths from",
        f"{protocol.min_width:g} to {protocol.max_width:g} of those of `{protocol.network}`, {protocol.resolution} px.",
        "",
        "```",
        f"scripts/experiments/equal_latency.py run {what} {how}",
        "scripts/experiments/equal_latency.py page FOLDER",
        "```",
        "",
        f"![Accuracy against measured latency](results/{_file_name(protocol)}.svg)",
        "",
        "Points of one budget have one latency and are drawn side by side. Intervals are 95 %, by how all networks of",
        "one budget and method scatter from supernet to supernet.",
        "",
        *_table(rows),
        "",
        *comparison_lines(rows),
        "",
        *supernet_lines(results.supernets),
    ]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| budget | method | networks | latency (ms) | of the budget | int8 top-1 (%) | float32 top-1 (%) | loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = _by_method(rows)
    int8 = Mean.each([[row.int8 for row in some] for some in groups])
    float32 = Mean.each([[row.float32 for row in some] for some in groups])
    for some, of_int8, of_float32 in zip(groups, int8, float32, strict=True):
        final, used = some[0].final, [row.used for row in some]
        lines.append(
            f"| {final.budget:.0%} | {final.method} | {len(some)} | {np.mean([row.latency_ms for row in some]):.4f} "
            f"| {min(used):.2f} to {max(used):.2f} % | {of_int8} | {of_float32} "
            f"| {np.mean([row.loss for row in some]):.4f} |"
        )
    return lines


def _by_method(rows: Sequence[Row]) -> list[list[Row]]:
    """The networks of every budget and method."""

    def place(row: Row) -> tuple[float, int]:
        return row.final.budget, METHODS.index(row.final.method)

    return [list(group) for _, group in groupby(sorted(rows, key=place), key=place)]


def _style(method: str) -> Style:
    return PUBLISHED if method == "published" else style_of(KINDS.get(method, method))


def _picture(rows: Sequence[Row]) -> str:
    """Accuracy against measured latency: the mean of every method's networks with its 95 % interval.

    Latencies of one budget are equal, so its points are drawn side by side.
    """
    picture = Picture("Accuracy of final networks against their measured latency", 760, 380)
    groups = _by_method(rows)
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
            picture.mark(
                (x, y), kind, shape=shape, hint=f"{group[0].final.method} at {group[0].final.budget:.0%}: {mean}"
            )
    for place, method in enumerate(sorted({row.final.method for row in rows}, key=METHODS.index)):
        kind, shape = _style(method)
        y = 50.0 + 20 * place
        picture.mark((picture.width - LEGEND + 24, y), kind, shape=shape)
        picture.text((picture.width - LEGEND + 38, y + 4), method)
    head, _, body = str(picture.markup()).removeprefix("<svg").partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head}>{STYLE}{body}\n'
