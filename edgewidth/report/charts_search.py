"""Pictures of the choice: the frontier, the widths, and the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.report.candidates import RUNNER_UP
from edgewidth.report.figure import HALF, NARROW, Figure, Key, Numbers, drawn, style_of
from edgewidth.report.svg import Axes, Picture, Scale, axes, covering
from edgewidth.report.units import listed, milliseconds, significant

if TYPE_CHECKING:
    from edgewidth.records.report import Candidate, Report, SearchReport, VariableWidths
    from edgewidth.records.search import Certificate

FRONTIER_POINTS = 240
"""More points than this are one line to the eye; evenly spaced ones get a mark and a row."""
ROW = 24.0
"""Pixels from one width variable to the next."""
_LABEL = 18
"""Letters of a layer's name that fit beside its variable."""


def frontier(report: Report) -> Figure | None:
    """For every latency the least loss there is; the choice and the baselines stand on or above it."""
    if report.search is None or not report.search.frontier:
        return None
    found = report.search
    # The runner-up would lie on the choice.
    others = (c for c in report.candidates if c.method != RUNNER_UP)
    candidates = [c for c in others if c.predicted_ms is not None and c.predicted_loss is not None]

    def draw(width: float) -> Picture:
        picture = Picture("Least predicted loss for every latency, with the choice and the baselines", width, 360)
        plot = axes(picture, *_frontier_ranges(found, candidates), left=54)
        plot.draw(picture, x_label="predicted latency (ms)", y_label="predicted excess loss (nats)")
        _draw_frontier(picture, plot, found)
        if report.budget:
            x = plot.x(report.budget.latency_ms)
            picture.line((x, plot.y.start), (x, plot.y.end), "budget")
        # The choice last: it lies on top.
        for candidate in reversed(candidates):
            _draw_candidate(picture, plot, candidate)
        return picture

    wide, narrow = drawn(draw)
    keys = [Key("frontier", "trace frontier", "line")]
    keys += [Key(c.method, *style_of(c.method)) for c in candidates]
    if report.budget:
        keys.append(Key(f"budget {report.budget.latency_ms:.4g} ms", "budget", "line"))
    return Figure("", _frontier_caption(report, found), wide, narrow, tuple(keys), _frontier_rows(found))


def _frontier_ranges(
    found: SearchReport, candidates: Sequence[Candidate]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What is near the candidates: at the fast end losses shoot up, at the slow end they hardly fall."""
    times = [found.chosen.predicted_ms, *(c.predicted_ms for c in candidates if c.predicted_ms is not None)]
    losses = [found.chosen.predicted_loss, *(c.predicted_loss for c in candidates if c.predicted_loss is not None)]
    slowest, ceiling = 1.2 * max(times), max(losses) + 0.6 * abs(max(losses))
    shown = [p for p in found.frontier if p.predicted_ms <= slowest and p.predicted_loss <= ceiling]
    times += [point.predicted_ms for point in shown]
    losses += [point.predicted_loss for point in shown]
    return covering(times, pad=0.03), covering(losses, pad=0.05)


def _draw_frontier(picture: Picture, plot: Axes, found: SearchReport) -> None:
    shown = [p for p in found.frontier if p.predicted_ms <= plot.x.high and p.predicted_loss <= plot.y.high]
    picture.path([plot.at(p.predicted_ms, p.predicted_loss) for p in shown], "trace frontier")
    for point in shown[:: max(1, math.ceil(len(shown) / FRONTIER_POINTS))]:
        hint = f"{point.config}: {milliseconds(point.predicted_ms)}, loss {point.predicted_loss:.4f}"
        picture.mark(plot.at(point.predicted_ms, point.predicted_loss), "frontier-dot", size=2.2, hint=hint)


def _draw_candidate(picture: Picture, plot: Axes, candidate: Candidate) -> None:
    if candidate.predicted_ms is None or candidate.predicted_loss is None:
        return
    kind, shape = style_of(candidate.method)
    hint = f"{candidate.method}: {milliseconds(candidate.predicted_ms)}, loss {candidate.predicted_loss:.4f}"
    size = 7 if candidate.method == "chosen" else 5.5
    picture.mark(plot.at(candidate.predicted_ms, candidate.predicted_loss), kind, shape=shape, size=size, hint=hint)


def _frontier_caption(report: Report, found: SearchReport) -> str:
    by_method = {c.method: c.predicted_loss for c in report.candidates}
    chosen, uniform = by_method.get("chosen"), by_method.get("uniform")
    text = f"Lower is more accurate, left is faster; by the table and the losses {_below(found.certificate)}."
    if chosen is None or not uniform or chosen >= uniform:
        return text
    gain = f"{100 * (1 - chosen / uniform):.0f} %"
    return (
        f"{text} The choice's predicted excess loss is {gain} below that of the widest uniform network in the budget."
    )


def _below(certificate: Certificate) -> str:
    """What lies below the frontier."""
    if not certificate.bounded:
        return "no configuration lies below the line"
    if certificate.frontier_gap is None:
        return "the line is the best that was found"
    return f"no configuration lies more than {certificate.frontier_gap:.4f} below the line, the best that was found"


def _frontier_rows(found: SearchReport) -> Numbers:
    step = max(1, math.ceil(len(found.frontier) / 40))
    rows = [(significant(p.predicted_ms), f"{p.predicted_loss:.4f}", str(p.config)) for p in found.frontier[::step]]
    return Numbers(("predicted (ms)", "excess loss", "channel configuration"), tuple(rows))


def widths(report: Report) -> Figure | None:
    """Every width variable on its range, the choice against the uniform network within the same budget."""
    if not report.widths:
        return None
    rows = report.widths

    def draw(width: float) -> Picture:
        picture = Picture("Chosen widths against uniform widths, for every width variable", width, 44 + ROW * len(rows))
        left, right = (56, 110) if width == NARROW else (190, 150)
        scale = Scale(0, max(row.choices[-1] / row.base for row in rows) * 100, left, width - right)
        _draw_width_axis(picture, scale)
        for number, row in enumerate(rows):
            _draw_width(picture, scale, 40 + ROW * (number + 0.5), row)
        return picture

    wide, narrow = drawn(draw)
    keys = [Key("chosen", *style_of("chosen"))]
    if rows[0].uniform is not None:
        keys.append(Key("uniform within the same budget", *style_of("uniform")))
    keys.append(Key("range of the search", "range", "line"))
    return Figure("Widths, layer by layer", _widths_caption(rows), wide, narrow, tuple(keys), _width_rows(rows))


def _draw_width_axis(picture: Picture, scale: Scale) -> None:
    bottom = picture.height - 4
    for value in scale.ticks(4 if picture.width == NARROW else 8):
        picture.line((scale(value), 26), (scale(value), bottom), "reference" if value == 100 else "grid")
        picture.text((scale(value), 18), f"{value:.0f} %", anchor="middle")
    uniform = "" if picture.width == NARROW else " (uniform)"
    picture.text((picture.width - 2, 18), f"channels{uniform}", "axis-label", anchor="end")


def _draw_width(picture: Picture, scale: Scale, y: float, row: VariableWidths) -> None:
    layers = "" if picture.width == NARROW else f" · {_layers_in_short(row.layers)}"
    picture.text((2, y + 4), f"{row.variable}{layers}", "row-label")

    def x(width: int) -> float:
        return scale(100 * width / row.base)

    picture.line((x(row.choices[0]), y), (x(row.choices[-1]), y), "range")
    if row.uniform is not None:
        wider = "wider" if row.chosen > row.uniform else "narrower"
        picture.line((x(row.uniform), y), (x(row.chosen), y), f"step {wider}")
        kind, shape = style_of("uniform")
        picture.mark((x(row.uniform), y), kind, shape=shape, size=4.5, hint=f"uniform: {row.uniform} channels")
    kind, shape = style_of("chosen")
    hint = f"{row.variable}: {row.chosen} channels, {100 * row.chosen / row.base:.0f} % of {row.base}"
    picture.mark((x(row.chosen), y), kind, shape=shape, size=6, hint=hint)
    picture.text((picture.width - 56, y + 4), str(row.chosen), "value", anchor="end")
    if row.at_end:
        picture.text((picture.width - 2, y + 4), "max" if row.at_end == "highest" else "min", "flagged", anchor="end")
    elif row.uniform is not None:
        picture.text((picture.width - 2, y + 4), f"({row.uniform})", anchor="end")


def _layers_in_short(names: Sequence[str]) -> str:
    """The first layer of a variable, cut where it is long, and how many others share the width."""
    first, others = names[0], len(names) - 1
    shown = first if len(first) <= _LABEL else f"{first[: _LABEL - 1]}…"
    return f"{shown} +{others}" if others else shown


def _widths_caption(rows: Sequence[VariableWidths]) -> str:
    text = "In percent of the published network; the numbers are channels."
    if any(len(row.layers) > 1 for row in rows):
        text = f"{text} Layers that must agree share a width: + says how many others have it."
    ends = [f"{row.variable} ({row.at_end})" for row in rows if row.at_end]
    if not ends:
        return f"{text} No width sits at an end of its range."
    return f"{text} At an end of its range, so that a wider range may find better: {listed(ends, 8)}."


def _width_rows(rows: Sequence[VariableWidths]) -> Numbers:
    table = tuple(
        (
            row.variable,
            ", ".join(row.layers),
            f"{row.choices[0]} to {row.choices[-1]}",
            str(row.uniform_full),
            "" if row.uniform is None else str(row.uniform),
            f"{row.chosen}{f' ({row.at_end})' if row.at_end else ''}",
        )
        for row in rows
    )
    return Numbers(("variable", "layers", "range", "uniform 1.0", "uniform in budget", "chosen"), table)


_COUNTERS = frozenset({"epoch", "step", "seconds", "learning_rate"})
"""What a line of a training log says beside its losses."""
_LINES = ("chosen", "uniform", "green", "violet", "sky")


def training_curves(report: Report) -> list[Figure]:
    """The losses over the epochs, of the supernet and of the chosen network."""
    logs = (
        ("Supernet", report.training),
        ("Chosen network", report.finetuning),
        ("Chosen network for int8", report.int8_training),
    )
    figures = (_curves(name, epochs) for name, epochs in logs)
    return [figure for figure in figures if figure]


def _curves(name: str, epochs: Sequence[dict[str, float]]) -> Figure | None:
    keys = list(dict.fromkeys(key for epoch in epochs for key in epoch if key not in _COUNTERS))[: len(_LINES)]
    if len(epochs) < 2 or not keys:
        return None
    series = {
        key: [(epoch.get("epoch", place), epoch[key]) for place, epoch in enumerate(epochs, start=1) if key in epoch]
        for key in keys
    }
    picture = Picture(f"{name}: loss over epochs", HALF, 260)
    points = [point for line in series.values() for point in line]
    plot = axes(picture, covering([x for x, _ in points], pad=0.02), covering([y for _, y in points]))
    plot.draw(picture, x_label="epoch", y_label="loss (nats)")
    for kind, (key, line) in zip(_LINES, series.items(), strict=False):
        picture.path([plot.at(x, y) for x, y in line], f"trace {kind}")
        x, y = line[-1]
        picture.mark(plot.at(x, y), kind, size=3.5, hint=f"{key}: {y:.4g}")
    ends = "; ".join(f"{_words(key)} ends at {line[-1][1]:.4g}" for key, line in series.items())
    legend = tuple(Key(_words(key), f"trace {kind}", "line") for kind, key in zip(_LINES, keys, strict=False))
    rows = tuple(
        (f"{epoch.get('epoch', place):g}", *(f"{epoch[key]:.4g}" if key in epoch else "" for key in keys))
        for place, epoch in enumerate(epochs, start=1)
    )
    numbers = Numbers(("epoch", *map(_words, keys)), rows)
    return Figure(f"{name}: loss", f"{ends[:1].upper()}{ends[1:]}.", picture.markup(), None, legend, numbers)


def _words(key: str) -> str:
    return key.replace("_", " ")
