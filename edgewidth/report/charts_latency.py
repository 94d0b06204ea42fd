"""Pictures of what was measured: the verdict, the runs, prediction against measurement, the device's state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.devices.measure.stretches import undisturbed
from edgewidth.report.figure import HALF, NARROW, Figure, Key, Numbers, drawn
from edgewidth.report.svg import Axes, Picture, Scale, axes, covering
from edgewidth.report.units import MINUS, milliseconds, percent, plural, signed, significant

if TYPE_CHECKING:
    from markupsafe import Markup
    from numpy.typing import NDArray

    from edgewidth.records.measurement import DeviceState, Visit
    from edgewidth.records.report import Measured, Report
    from edgewidth.report.svg import Anchor

DOTS, DOTS_PER_VISIT = 4000, 200
"""More single runs than this, in all and of one visit, cannot be told apart; evenly spaced ones are drawn."""
BINS = 36


def gauge(report: Report) -> tuple[Markup, Markup] | None:
    """The measured latency on a bar from zero, against the budget and the uniform 1.0 network."""
    measured, budget = report.measured, report.budget
    if measured is None or budget is None:
        return None
    full = next((c for c in report.candidates if c.method == "uniform 1.0"), None)
    full_ms = (full.measured_ms or full.predicted_ms) if full else None
    reach = max(budget.latency_ms, measured.high_ms)
    if full_ms is not None and full_ms > 4 * reach:
        full_ms = None  # it would press everything else against the left edge
    high = 1.04 * max(reach, full_ms or 0)

    def draw(width: float) -> Picture:
        past = report.words.past
        label = (
            f"{past.capitalize()} {milliseconds(measured.value_ms)} of a budget of {milliseconds(budget.latency_ms)}"
        )
        picture = Picture(label, width, 84)
        scale = Scale(0, high, 2, width - 2)
        picture.bar((2, 34), (width - 4, 14), "track", radius=7)
        kind = "over" if report.verdict == "over budget" else "within"
        picture.bar((2, 34), (scale(measured.value_ms) - 2, 14), f"fill {kind}", radius=7)
        picture.line((scale(measured.low_ms), 41), (scale(measured.high_ms), 41), "whisker")
        _flag(picture, scale(budget.latency_ms), (24, 54), f"budget {budget.latency_ms:.4g} ms", "budget")
        value = f"{past} {milliseconds(measured.value_ms)}"
        _flag(picture, scale(measured.value_ms), (48, 60), value, f"pin {kind}", below=True)
        # As far apart as their words need side by side.
        if full_ms is not None and abs(scale(full_ms) - scale(budget.latency_ms)) > 230:
            _flag(picture, scale(full_ms), (28, 54), f"uniform 1.0: {milliseconds(full_ms)}", "reference")
        return picture

    return drawn(draw)


def _flag(picture: Picture, x: float, span: tuple[float, float], text: str, kind: str, *, below: bool = False) -> None:
    picture.line((x, span[0]), (x, span[1]), kind)
    anchor: Anchor = "start" if x < 80 else "end" if x > picture.width - 80 else "middle"
    picture.text((x, 76 if below else 18), text, "flag", anchor=anchor)


class _Runs(NamedTuple):
    """All runs of a file, and the range of latencies that is worth showing."""

    visits: Sequence[Visit]
    counted_ms: np.ndarray[tuple[int], np.dtype[np.float64]]
    low: float
    high: float
    beyond: int


def _runs(report: Report) -> _Runs:
    every = np.array([run for visit in report.visits for run in visit.runs_ns]) / 1e6
    counted = np.concatenate([_counts(visit) for visit in report.visits])
    counted_ms = every[counted] if counted.any() else every
    p5, p50, p95 = np.percentile(every, [5, 50, 95])
    ceiling = p95 + 3 * max(p95 - p5, 0.005 * p50)
    shown = every[every <= ceiling]
    low, high = float(shown.min()), float(shown.max())
    budget_ms = report.budget.latency_ms if report.budget else None
    # A budget that is far away would flatten the distribution; then only the caption speaks of it.
    if budget_ms and low - 1.2 * (high - low) <= budget_ms <= high + 1.2 * (high - low):
        low, high = min(low, budget_ms), max(high, budget_ms)
    low, high = covering([low, high])
    return _Runs(report.visits, counted_ms, low, high, int((every > high).sum()))


def _counts(visit: Visit) -> NDArray[np.bool_]:
    """Which runs of a visit count: (runs,)."""
    return undisturbed(visit) if visit.disturbed is None else np.zeros(len(visit.runs_ns), dtype=np.bool_)


def distribution(report: Report) -> Figure | None:
    """Every run in the order it was made, visit by visit, and beside it the histogram on the same axis."""
    if not report.visits or report.measured is None:
        return None
    runs, measured = _runs(report), report.measured

    def draw(width: float) -> Picture:
        label = f"Single runs of {measured.file} in {plural(len(runs.visits), 'visit')}, and their histogram"
        picture = Picture(label, width, 330)
        histogram = 64 if width == NARROW else 170
        plot = axes(picture, (0, len(runs.visits)), (runs.low, runs.high), right=histogram + 22, left=54)
        _draw_latency_axis(picture, plot, runs, measured)
        for number, visit in enumerate(runs.visits):
            _draw_visit(picture, plot, number, visit, most=min(DOTS_PER_VISIT, DOTS // len(runs.visits) + 1))
        _draw_histogram(picture, plot, runs, histogram)
        if report.budget and runs.low < report.budget.latency_ms < runs.high:
            y = plot.y(report.budget.latency_ms)
            picture.line((plot.x.start, y), (width - 12, y), "budget")
        return picture

    wide, narrow = drawn(draw)
    keys = [
        Key("single run", "dust chosen", "line"),
        Key("median of a visit", "visit-median", "line"),
        Key(f"{measured.statistic} with 95 % interval", "band chosen", "band"),
    ]
    if report.budget:
        keys.append(Key(f"budget {report.budget.latency_ms:.4g} ms", "budget", "line"))
    if measured.counted_percent < 100:
        keys.append(Key("disturbed, not counted", "dust disturbed", "line"))
    return Figure("", _distribution_caption(runs, measured), wide, narrow, tuple(keys), _visit_rows(report))


def _distribution_caption(runs: _Runs, measured: Measured) -> str:
    p = measured.percentiles_ms
    spread = f"Half of the runs take up to {milliseconds(p['p50'])}, 95 % of them up to {milliseconds(p['p95'])}, "
    beyond = f" Above the picture: {plural(runs.beyond, 'run')}." if runs.beyond else ""
    return f"{spread}the slowest {milliseconds(p['max'])}.{beyond}"


def _draw_latency_axis(picture: Picture, plot: Axes, runs: _Runs, measured: Measured) -> None:
    left, right = plot.x.start, picture.width - 12
    top, bottom = plot.y(measured.high_ms), plot.y(measured.low_ms)
    picture.bar((left, top), (right - left, max(bottom - top, 1.5)), "band chosen")
    plot.draw(picture, x_label="visit, in order", y_label="latency (ms)", x_ticks=0)
    every = max(1, round(len(runs.visits) / (8 if picture.width == NARROW else 20)))
    for number in range(0, len(runs.visits), every):
        picture.text((plot.x(number + 0.5), plot.y.start + 18), str(number + 1), anchor="middle")


def _draw_visit(picture: Picture, plot: Axes, number: int, visit: Visit, *, most: int) -> None:
    times = np.array(visit.runs_ns) / 1e6
    shown = np.unique(np.linspace(0, len(times) - 1, min(len(times), most)).round().astype(int))
    places = number + 0.12 + 0.76 * (shown + 0.5) / len(times)
    counts = _counts(visit)
    for kind, mask in (("disturbed", ~counts[shown]), ("chosen", counts[shown])):
        points = [plot.at(x, y) for x, y in zip(places[mask], times[shown][mask], strict=True) if y <= plot.y.high]
        picture.dust(points, kind)
    median = float(np.median(times[counts] if counts.any() else times))
    hint = f"visit {number + 1}: median {milliseconds(median)}, {plural(len(times), 'run')}"
    if visit.disturbed:
        hint += f"; not counted: {visit.disturbed}"
    y = plot.y(median)
    picture.line((plot.x(number + 0.06), y), (plot.x(number + 0.94), y), "visit-median", hint=hint)


def _draw_histogram(picture: Picture, plot: Axes, runs: _Runs, width: float) -> None:
    counts, edges = np.histogram(runs.counted_ms, bins=BINS, range=(runs.low, runs.high))
    left = plot.x.end + 10
    for number, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if number:
            top = plot.y(float(high))
            hint = f"{milliseconds(float(low))} to {milliseconds(float(high))}: {plural(int(number), 'run')}"
            bar = (width * float(number) / max(counts), plot.y(float(low)) - top - 1)
            picture.bar((left, top), bar, "histogram", hint=hint)
    picture.line((left, plot.y.start), (left, plot.y.end), "axis")


def _visit_rows(report: Report) -> Numbers:
    rows = []
    for number, visit in enumerate(report.visits, start=1):
        times = np.array(visit.runs_ns) / 1e6
        low, median, high = (significant(float(value)) for value in np.percentile(times, [5, 50, 95]))
        state = visit.disturbed or f"{_counts(visit).mean():.0%} counted"
        rows.append((str(number), str(len(times)), low, median, high, state))
    return Numbers(("visit", "runs", "5 % (ms)", "median (ms)", "95 % (ms)", "state"), tuple(rows))


class _Pair(NamedTuple):
    name: str
    kind: str
    predicted: float
    low: float
    high: float
    measured: float


def _pairs(report: Report) -> list[_Pair]:
    held_out = report.table.held_out if report.table else ()
    pairs = [
        _Pair(str(h.config), "held-out", h.predicted_ms, h.low_ms, h.high_ms, h.measured_ms)
        for h in sorted(held_out, key=lambda h: h.predicted_ms)
    ]
    p = report.predicted
    if p and report.measured and p.difference_percent is not None:
        pairs.append(_Pair("the chosen file", "chosen", p.value_ms, p.low_ms, p.high_ms, report.measured.value_ms))
    return pairs


_PAIR_KEYS = (
    Key("held-out configuration, 95 % interval", "held-out", "circle"),
    Key("within 5 %", "tolerance", "band"),
)


def _pair_keys(pairs: Sequence[_Pair]) -> tuple[Key, ...]:
    chosen = any(pair.kind == "chosen" for pair in pairs)
    return (*_PAIR_KEYS, *([Key("the chosen file", "chosen", "circle")] if chosen else []))


def predicted_against_measured(report: Report) -> Figure | None:
    """Predictions with their intervals over measurements; on the diagonal they agree."""
    if not (pairs := _pairs(report)):
        return None
    past = report.words.past
    picture = Picture(f"Predicted over {past} latency of held-out configurations", HALF, 380)
    values = [value for pair in pairs for value in (pair.low, pair.high, pair.measured)]
    low, high = covering(values)
    plot = axes(picture, (max(low, 0), high), (max(low, 0), high))
    low, high = plot.x.low, plot.x.high
    corners = [(low, low * 0.95), (high, high * 0.95), (high, high), (high / 1.05, high), (low, low * 1.05)]
    picture.path([plot.at(*corner) for corner in corners], "tolerance", closed=True)
    plot.draw(picture, x_label=f"{past} (ms)", y_label="predicted (ms)")
    picture.line(plot.at(low, low), plot.at(high, high), "reference")
    for pair in pairs:
        x, y = plot.at(pair.measured, pair.predicted)
        hint = f"{pair.name}: predicted {milliseconds(pair.predicted)}, {past} {milliseconds(pair.measured)}"
        picture.line((x, plot.y(pair.low)), (x, plot.y(pair.high)), f"interval {pair.kind}")
        picture.mark((x, y), pair.kind, size=6 if pair.kind == "chosen" else 3.5, hint=hint)
    caption = "Each point is a network that the latency table had never seen; on the line, prediction and device agree."
    return Figure(
        f"Predicted against {past}", caption, picture.markup(), None, _pair_keys(pairs), _pair_rows(pairs, past)
    )


def prediction_errors(report: Report) -> Figure | None:
    """How far each measurement is from its prediction, in percent, against the interval that was promised."""
    if not (pairs := _pairs(report)):
        return None

    def off(pair: _Pair, value: float) -> float:
        return 100 * (value / pair.predicted - 1)

    past = report.words.past
    picture = Picture(f"Difference of {past} from predicted latency in percent", HALF, 380)
    reach = max(6.0, *(abs(off(pair, value)) for pair in pairs for value in (pair.low, pair.high, pair.measured)))
    plot = axes(picture, covering([pair.predicted for pair in pairs]), (-1.08 * reach, 1.08 * reach))
    left, right = plot.x.start, plot.x.end
    picture.bar((left, plot.y(5)), (right - left, plot.y(-5) - plot.y(5)), "tolerance")
    plot.draw(picture, x_label="predicted (ms)", y_label=f"{past} {MINUS} predicted (%)", y_ticks=7, signed=True)
    picture.line((left, plot.y(0)), (right, plot.y(0)), "reference")
    for pair in pairs:
        x, y = plot.at(pair.predicted, off(pair, pair.measured))
        hint = f"{pair.name}: {signed(off(pair, pair.measured))}"
        picture.line((x, plot.y(off(pair, pair.low))), (x, plot.y(off(pair, pair.high))), f"interval {pair.kind}")
        picture.mark((x, y), pair.kind, size=6 if pair.kind == "chosen" else 3.5, hint=hint)
    rows = tuple(
        (
            pair.name,
            significant(pair.predicted),
            *(signed(off(pair, value)) for value in (pair.measured, pair.low, pair.high)),
        )
        for pair in pairs
    )
    numbers = Numbers(
        ("configuration", "predicted (ms)", f"{past} {MINUS} predicted", "from", "to (95 % interval)"), rows
    )
    return Figure("By how much", _errors_caption(report), picture.markup(), None, _pair_keys(pairs), numbers)


def _errors_caption(report: Report) -> str:
    if not report.table:
        return "The chosen file alone: there is no latency table in this folder."
    quality = report.table.quality
    return (
        f"Mean error {percent(quality.mape_percent)}, worst {percent(quality.worst_percent)}; "
        f"{percent(quality.coverage_percent, 0)} of the {report.words.noun}s lie in their 95 % intervals. "
        f"The {report.words.noun}s' own noise is {percent(quality.noise_percent)}."
    )


def _pair_rows(pairs: Sequence[_Pair], past: str) -> Numbers:
    rows = [
        (
            pair.name,
            significant(pair.measured),
            significant(pair.predicted),
            f"{significant(pair.low)} to {significant(pair.high)}",
            signed(100 * (pair.measured / pair.predicted - 1)),
        )
        for pair in pairs
    ]
    return Numbers(("configuration", f"{past} (ms)", "predicted (ms)", "95 % interval", "difference"), tuple(rows))


def device_states(report: Report) -> list[Figure]:
    """Temperature and frequency around every visit, where the device says them and they change."""
    known = (
        ("Temperature", "°C", lambda state: state.temperature_c),
        ("Processor frequency", "MHz", lambda state: state.frequency_mhz),
        ("GPU frequency", "MHz", lambda state: state.gpu.frequency_mhz if state.gpu else None),
        ("NPU frequency", "MHz", lambda state: state.npu.frequency_mhz if state.npu else None),
    )
    figures = (_state_figure(report.visits, *one) for one in known)
    return [figure for figure in figures if figure]


def _state_figure(
    visits: Sequence[Visit], name: str, unit: str, value_of: Callable[[DeviceState], float | None]
) -> Figure | None:
    states = [(visit.started_s, value_of(visit.before), value_of(visit.after)) for visit in visits]
    known = [(s, before, after) for s, before, after in states if before is not None and after is not None]
    values = [value for _, *pair in known for value in pair]
    if len(known) < 2 or min(values) == max(values):
        return None
    minutes = [(s - known[0][0]) / 60 for s, *_ in known]
    picture = Picture(f"{name} before and after every visit", HALF, 220)
    plot = axes(picture, covering(minutes, pad=0.03), covering(values, pad=0.12))
    plot.draw(picture, x_label="minutes since the first visit", y_label=f"{name.lower()} ({unit})", y_ticks=4)
    picture.path([plot.at(x, after) for x, (_, _, after) in zip(minutes, known, strict=True)], "trace chosen")
    for x, (_, before, after) in zip(minutes, known, strict=True):
        hint = f"{before:g} {unit} before, {after:g} {unit} after"
        picture.line(plot.at(x, before), plot.at(x, after), "interval chosen")
        picture.mark(plot.at(x, after), "chosen", size=3.5, hint=hint)
    rows = tuple((f"{x:.1f}", f"{b:g}", f"{a:g}") for x, (_, b, a) in zip(minutes, known, strict=True))
    columns = ("minutes", f"before ({unit})", f"after ({unit})")
    caption = f"Between {min(values):g} and {max(values):g} {unit} while it ran."
    return Figure(name, caption, picture.markup(), None, (), Numbers(columns, rows))
