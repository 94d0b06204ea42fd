"""Pictures of the losses: what widths cost, whether that predicts, and from where widths were drawn in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewidth.report.figure import HALF, NARROW, Figure, Key, Numbers, Style, drawn, style_of
from edgewidth.report.svg import Axes, Picture, Scale, axes, covering
from edgewidth.report.units import milliseconds, percent, plural, significant

if TYPE_CHECKING:
    from edgewidth.records.losses import EvaluationPhase, HeldOutKind, NarrowingStep, VariableLosses
    from edgewidth.records.report import HeldOutReport, LossReport, Report, VariableWidths

_INVISIBLE = 0.01
"""The share of the strongest colour below which cells are left out."""
_KINDS: dict[HeldOutKind, Style] = {
    "random": Style("held-out", "circle"),
    "near the budget": Style("chosen", "diamond"),
}


def unary_losses(report: Report) -> Figure | None:
    """One small picture per width variable: what each of its widths costs in loss."""
    if report.losses is None:
        return None
    losses, rows = report.losses, {row.variable: row for row in report.widths}
    high = max(value for one in losses.variables for value in one.values) or 1.0
    low = min(0.0, *(value for one in losses.variables for value in one.values))

    def draw(width: float) -> Picture:
        columns = 3 if width == NARROW else 7
        cell, height = width / columns, 104.0
        lines = math.ceil(len(losses.variables) / columns)
        picture = Picture("What each width of each variable costs in loss", width, height * lines)
        for number, one in enumerate(losses.variables):
            left, top = cell * (number % columns), height * (number // columns)
            box = Axes(
                Scale(0, len(one.values) - 1 or 1, left + 6, left + cell - 10),
                Scale(low, high * 1.05, top + height - 12, top + 24),
            )
            _draw_unary(picture, box, one, rows.get(one.variable))
        return picture

    wide, narrow = drawn(draw)
    keys = [Key("cost of a width, ± 2 standard errors", "trace chosen", "line")]
    if rows:
        keys.append(Key("chosen width", *style_of("chosen")))
    caption = "From the narrowest width (left) to the widest, all on one scale: a tall curve is a layer that matters."
    return Figure("What narrow layers cost", caption, wide, narrow, tuple(keys), _unary_rows(losses))


def _draw_unary(picture: Picture, box: Axes, one: VariableLosses, row: VariableWidths | None) -> None:
    above = [box.at(i, v + 2 * e) for i, (v, e) in enumerate(zip(one.values, one.standard_errors, strict=True))]
    below = [box.at(i, v - 2 * e) for i, (v, e) in enumerate(zip(one.values, one.standard_errors, strict=True))]
    picture.line((box.x.start, box.y(0)), (box.x.end, box.y(0)), "axis")
    picture.path([*above, *reversed(below)], "band chosen", closed=True)
    picture.path([box.at(i, value) for i, value in enumerate(one.values)], "trace chosen")
    picture.text((box.x.end, box.y.end - 8), one.variable, "row-label", anchor="end")
    if row:
        place = row.choices.index(row.chosen)
        value = one.values[place]
        picture.mark(box.at(place, value), "chosen", size=4.5, hint=f"{row.chosen} channels: {value:.4f} nats")


def _unary_rows(losses: LossReport) -> Numbers:
    rows = [(one.variable, " ".join(f"{value:.4f}" for value in one.values)) for one in losses.variables]
    return Numbers(("variable", "excess loss (nats) of each width, narrowest first"), tuple(rows))


def loss_predictions(report: Report) -> Figure | None:
    """The unary losses' predictions over evaluated losses, on configurations they had never seen."""
    if report.losses is None:
        return None
    losses = report.losses
    points = [(held.kind, point) for held in losses.held_out for point in held.points]
    picture = Picture("Predicted over evaluated excess loss of held-out configurations", HALF, 340)
    span = covering([value for _, point in points for value in (point.predicted, point.evaluated)])
    plot = axes(picture, span, span)
    plot.draw(picture, x_label="evaluated excess loss (nats)", y_label="predicted excess loss (nats)")
    picture.line(plot.at(span[0], span[0]), plot.at(span[1], span[1]), "reference")
    for kind, point in points:
        style = _KINDS[kind]
        hint = f"{kind}, {point.config}: predicted {point.predicted:.4f}, evaluated {point.evaluated:.4f}"
        at = plot.at(point.evaluated, point.predicted)
        picture.mark(at, style.kind, shape=style.shape, size=3.5, hint=hint)
    qualities = " ".join(map(_quality, losses.held_out))
    caption = f"{qualities} Each on the same {losses.images:,} images. {_stopped(losses.evaluation)}"
    rows = tuple((kind, str(p.config), f"{p.predicted:.4f}", f"{p.evaluated:.4f}") for kind, p in points)
    keys = tuple(Key(f"held out, {held.kind}", *_KINDS[held.kind]) for held in losses.held_out)
    numbers = Numbers(("drawn", "configuration", "predicted", "evaluated"), rows)
    return Figure("Predicted against evaluated loss", caption, picture.markup(), None, keys, numbers)


def _quality(held: HeldOutReport) -> str:
    quality = held.quality
    kind = held.kind[0].upper() + held.kind[1:]
    return (
        f"{kind}: rank correlation {quality.spearman:.2f}, R² {quality.r2:.2f}, residual "
        f"{quality.residual_sigma:.4f} nats on {plural(quality.held_out, 'configuration')}."
    )


def _stopped(evaluation: EvaluationPhase) -> str:
    if not evaluation.rounds:
        return ""
    last = evaluation.rounds[-1]
    doubt = max(last.doubts, key=lambda doubt: doubt.regret / max(doubt.gain, 1e-12))
    why = "the choice was settled" if evaluation.stopped == "settled" else "no more were allowed"
    return (
        f"Evaluation stopped after {last.fitted} fitted configurations because {why}: better losses would be worth "
        f"{significant(doubt.regret, 2)} nats near the budget, where choosing gains {significant(doubt.gain, 2)} over "
        f"the average."
    )


def rivals(report: Report) -> Figure | None:
    """The rivals' losses after brief training, over what the supernet says of them and what the correction does."""
    found = report.losses.rivals if report.losses else None
    if found is None:
        return None
    sure = found.correction.is_sure
    picture = Picture("Loss after brief training over excess loss, of rivals near the budget", HALF, 340)
    losses = [one.supernet_loss for one in found.points] + [one.corrected_loss for one in found.points]
    span = covering(losses)
    plot = axes(picture, span, covering([one.trained_loss for one in found.points]))
    plot.draw(picture, x_label="excess loss (nats)", y_label="loss after brief training (nats)")
    for one in found.points:
        whose = ", ".join(one.methods)
        before, after = (plot.at(loss, one.trained_loss) for loss in (one.supernet_loss, one.corrected_loss))
        hint = f"{whose}, {one.config}: supernet {one.supernet_loss:.4f}, after training {one.trained_loss:.4f}"
        if sure:
            picture.line(before, after, "reference")
            picture.mark(after, "chosen", shape="diamond", size=4.5, hint=f"{hint}, corrected {one.corrected_loss:.4f}")
        picture.mark(before, "held-out", shape="circle", size=3.5, hint=hint)
    ranks = f"a rank correlation of {found.supernet_spearman:.2f} with the supernet's losses"
    said = (
        f"{ranks}, and of {found.corrected_spearman:.2f} with the corrected ones, each predicted from the others"
        if sure
        else f"{ranks}, too little to correct these"
    )
    caption = (
        f"{plural(len(found.points), 'rival')} near the budget were trained for up to {found.steps:,} steps, the worse "
        f"half dropped at every rung, and judged on {found.images:,} images that no search has seen: {said}."
    )
    rows = tuple(
        (
            ", ".join(one.methods),
            str(one.config),
            str(one.rungs),
            *(f"{loss:.4f}" for loss in (one.supernet_loss, one.corrected_loss, one.trained_loss)),
        )
        for one in found.points
    )
    keys = (Key("by the supernet", *_KINDS["random"]), *([Key("corrected", "chosen", "diamond")] if sure else []))
    columns = ("whose choice", "configuration", "rungs", "supernet's excess", "corrected excess", "after training")
    return Figure("Rivals after training", caption, picture.markup(), None, keys, Numbers(columns, rows))


def narrowing(report: Report) -> Figure | None:
    """One small picture per width variable: how likely each of its widths was drawn as training went on."""
    if report.losses is None or not report.losses.narrowing:
        return None
    steps = report.losses.narrowing
    names = [one.variable for one in report.losses.variables]
    rows = {row.variable: row for row in report.widths}

    def draw(width: float) -> Picture:
        columns = 3 if width == NARROW else 7
        cell, height = width / columns, 118.0
        lines = math.ceil(len(names) / columns)
        picture = Picture("How likely each width was drawn as training went on", width, height * lines)
        for number, name in enumerate(names):
            left, top = cell * (number % columns), height * (number // columns)
            choices = len(steps[0].marginals[number])
            box = Axes(Scale(0, 1, left + 6, left + cell - 10), Scale(0, choices, top + height - 12, top + 24))
            _draw_narrowing(picture, box, [(step.done, step.marginals[number]) for step in steps])
            picture.text((box.x.end, box.y.end - 8), name, "row-label", anchor="end")
            if name in rows:
                place = rows[name].choices.index(rows[name].chosen)
                picture.mark(box.at(1, place + 0.5), "chosen", size=4.5, hint=f"chosen: {rows[name].chosen} channels")
        return picture

    wide, narrow = drawn(draw)
    keys = [Key("drawn more often", "heat", "band")]
    if rows:
        keys.append(Key("chosen width", *style_of("chosen")))
    first, last = steps[0], steps[-1]
    uniformly = percent(100 * first.done, 0)
    temperatures = f"{significant(first.temperature, 2)} to {significant(last.temperature, 2)} nats"
    caption = (
        f"From the beginning of training (left) to its end, the narrowest width at the bottom. Drawn uniformly for the "
        f"first {uniformly}, then from fields at temperatures of {temperatures}, whose mean latencies are "
        f"{milliseconds(first.mean_ms)} to {milliseconds(last.mean_ms)}."
    )
    return Figure("Where widths were drawn", caption, wide, narrow, tuple(keys), _narrowing_rows(names, steps))


def _draw_narrowing(picture: Picture, box: Axes, fields: Sequence[tuple[float, Sequence[float]]]) -> None:
    """Columns from one change of the field to the next; as strong as the likeliest of all is full."""
    choices = len(fields[0][1])
    columns = [(0.0, [1 / choices] * choices), *fields]
    most = max(max(marginal) for _, marginal in columns)
    for (begin, marginal), end in zip(columns, [*(done for done, _ in fields), 1.0], strict=True):
        for place, probability in enumerate(marginal):
            (left, top), (right, bottom) = box.at(begin, place + 1), box.at(end, place)
            if probability > _INVISIBLE * most:
                picture.heat((left, top), (right - left, bottom - top), probability / most)
    corner, size = (box.x.start, box.y.end), (box.x.end - box.x.start, box.y.start - box.y.end)
    picture.bar(corner, size, "frame")


def _narrowing_rows(names: Sequence[str], steps: Sequence[NarrowingStep]) -> Numbers:
    columns = ("from", "temperature (nats)", "mean latency (ms)", "probability of each width, narrowest first")
    rows = tuple(
        (
            percent(100 * step.done, 0),
            significant(step.temperature, 3),
            significant(step.mean_ms, 4),
            "; ".join(
                f"{name}: {' '.join(f'{p:.2f}' for p in marginal)}"
                for name, marginal in zip(names, step.marginals, strict=True)
            ),
        )
        for step in steps
    )
    return Numbers(columns, rows)
