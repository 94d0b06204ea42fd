"""The report for people: one HTML file that needs neither a network nor a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from edgewidth.progress import times_text
from edgewidth.records.measurement import Clock
from edgewidth.records.validation import over_memory
from edgewidth.report import charts_latency, charts_losses, charts_search, units
from edgewidth.report.candidates import sureness
from edgewidth.report.verdict import compare, uncounted
from edgewidth.tasks.registry import find_task

if TYPE_CHECKING:
    from edgewidth.records.measurement import EnergyEstimate
    from edgewidth.records.report import Candidate, Measured, Report, ReportedArtifact
    from edgewidth.report.figure import Figure


class Tile(NamedTuple):
    """One number at a glance."""

    label: str
    value: str
    note: str


class Section(NamedTuple):
    """Figures under one heading; a section without any is left out."""

    anchor: str
    title: str
    figures: tuple[Figure, ...]
    note: str = ""


def page_environment() -> Environment:
    """Where templates are found, and what they may call; every outside string is escaped."""
    environment = Environment(
        loader=PackageLoader("edgewidth.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    shown = ("milliseconds", "percent", "signed", "size", "count", "significant", "plural")
    environment.filters |= {name: getattr(units, name) for name in shown}
    return environment


def render_html(report: Report) -> str:
    """The page as text, every outside string escaped."""
    template = page_environment().get_template("report.html.j2")
    return template.render(parts(report), heading=heading_of(report) or "Not finished", prefix="", title=_title(report))


def parts(report: Report) -> dict[str, object]:
    """What the body of the page shows, for its template."""
    return {
        "report": report,
        "gauge": charts_latency.gauge(report),
        "tiles": _tiles(report),
        "states": charts_latency.device_states(report),
        "device": _device_rows(report),
        "environment": _reproduce_rows(report),
        "comparison": compare(report.predicted),
        "memory": over_memory(report.measured.ran, report.budget) if report.measured else "",
        "sureness": sureness(report.candidates),
        "past": report.words.past,
        "uncounted": uncounted(report.measured, report.budget, report.clock) if report.measured else "",
        **{section.anchor: section for section in _sections(report)},
    }


def heading_of(report: Report) -> str | None:
    """The answer in two words; None: there is none yet."""
    return {"within budget": "Within budget", "over budget": "Over budget"}.get(report.verdict)


def _coded(text: str) -> Markup:
    """A text in which what stands in backticks is set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before


def _title(report: Report) -> str:
    device = f" on {report.device.setting.device}" if report.device else ""
    return f"{report.network.family if report.network else 'A file'}{device}: {report.verdict}"


def _sections(report: Report) -> tuple[Section, ...]:
    latency, losses, search = charts_latency, charts_losses, charts_search

    def present(*figures: Figure | None) -> tuple[Figure, ...]:
        return tuple(figure for figure in figures if figure)

    predictions = present(latency.predicted_against_measured(report), latency.prediction_errors(report))
    said = (losses.unary_losses(report), losses.loss_predictions(report), losses.rivals(report))
    verdict = report.table.quality.verdict if report.table else ""
    return (
        Section("latency", "Every run on the device", present(latency.distribution(report))),
        Section("prediction", "Can the predictions be trusted?", predictions, verdict),
        Section("frontier", "What every latency can buy", present(search.frontier(report))),
        Section("widths", "The chosen network", present(search.widths(report))),
        Section("unary", "What the losses say", present(*said)),
        Section("training", "Training", present(losses.narrowing(report), *search.training_curves(report))),
    )


def _tiles(report: Report) -> list[Tile]:
    emitted = emitted_of(report)
    tiles = []
    if emitted is not None:
        same_format = (one for one in report.artifacts if one.format == emitted.format)
        tiles = [*(_accuracy_tile(report, one) for one in same_format), _size_tile(report, emitted)]
    if report.measured and report.measured.energy:
        tiles.append(_energy_tile(report.measured.energy[0]))
    chosen, full = _candidate(report, "chosen"), _candidate(report, "uniform 1.0")
    if chosen and full:
        tiles += _cost_tiles(report, chosen, full)
    elif full and emitted is None:
        tiles += _profile_tiles(report, full)
    return tiles


def _candidate(report: Report, method: str) -> Candidate | None:
    return next((candidate for candidate in report.candidates if candidate.method == method), None)


def _accuracy_tile(report: Report, artifact: ReportedArtifact) -> Tile:
    low, high = artifact.accuracy_low_percent, artifact.accuracy_high_percent
    note = f"95 %: {low:.1f} to {high:.1f}" if low is not None and high is not None else artifact.metric
    if artifact.precision != "float32" and report.reference_accuracy_percent is not None:
        change = units.signed(artifact.accuracy_percent - report.reference_accuracy_percent, unit="", decimals=2)
        note = f"{change} points from the trained network"
    return Tile(f"{artifact.precision} accuracy", units.percent(artifact.accuracy_percent, 2), note)


def emitted_of(report: Report) -> ReportedArtifact | None:
    """The file that was measured on the device; where none was, the first."""
    measured = (one for one in report.artifacts if report.measured and one.file == report.measured.file)
    return next(measured, next(iter(report.artifacts), None))


def _size_tile(report: Report, artifact: ReportedArtifact) -> Tile:
    largest = max(one.size_bytes for one in report.artifacts)
    note = f"{artifact.file}; float32 {units.size(largest)}" if largest > artifact.size_bytes else artifact.file
    return Tile("file size", units.size(artifact.size_bytes), note)


def _energy_tile(energy: EnergyEstimate) -> Tile:
    idle = "idle power included" if energy.above_idle_mj is None else f"{energy.above_idle_mj:.3g} mJ above idle"
    return Tile("energy per inference", f"{energy.value_mj:.3g} mJ", f"{energy.quality}: by {energy.source}, {idle}")


def _cost_tiles(report: Report, chosen: Candidate, full: Candidate) -> list[Tile]:
    tiles = []
    full_ms = full.measured_ms or full.predicted_ms
    ms = report.measured.value_ms if report.measured else chosen.measured_ms or chosen.predicted_ms
    if full_ms and ms:
        seen = full.measured_ms and (report.measured or chosen.measured_ms)
        how = f"both {report.words.past}" if seen else "predicted"
        note = f"as uniform 1.0 with {units.milliseconds(full_ms)}, {how}"
        tiles.append(Tile("times as fast", f"{units.significant(full_ms / ms, 3)}{units.TIMES}", note))
    share = units.percent(100 * chosen.macs / full.macs, 0)
    tiles.append(Tile("multiply-adds", units.count(chosen.macs), f"{share} of uniform 1.0"))
    share = units.percent(100 * chosen.parameters / full.parameters, 0)
    tiles.append(Tile("parameters", units.count(chosen.parameters), f"{share} of uniform 1.0"))
    return tiles


def _profile_tiles(report: Report, full: Candidate) -> list[Tile]:
    """What is known before anything has been chosen."""
    tiles = []
    if report.table:
        quality = report.table.quality
        note = f"mean, on {units.plural(quality.held_out, 'network')} never fitted; {quality.fitted} fitted"
        tiles.append(Tile("prediction error", units.percent(quality.mape_percent), note))
    if ms := full.measured_ms or full.predicted_ms:
        how = report.words.past if full.measured_ms else "predicted"
        tiles.append(Tile("uniform 1.0", units.milliseconds(ms), f"{how} as a variant"))
    if report.network:
        tiles.append(Tile("search space", units.count(report.network.configurations), "channel configurations"))
    return tiles


_CLOCKS = {
    Clock.WALL: "real time",
    Clock.ICOUNT: "instructions counted by the emulator, 1 ns each",
    Clock.ESTIMATE: "none: a compiler's estimate, nothing was run or measured",
}
"""What a nanosecond is, in a reader's words."""


def _device_rows(report: Report) -> list[tuple[str, str]]:
    if report.device is None:
        return []
    setting, facts = report.device.setting, report.device.facts
    given = "; ".join(map(str, report.measured.inputs)) if report.measured else ""
    rows = [
        ("Device profile", setting.device),
        *([] if facts else [("Hardware", setting.hardware)]),
        ("Runtime", f"{setting.engine} {setting.runtime_version}"),
        ("Precision", str(setting.precision)),
        ("Threads", str(setting.threads)),
        *([("Given", given)] if given else []),
        *_ran_rows(report.measured),
        ("Clock", _CLOCKS[setting.clock]),
    ]
    if facts:
        memory = units.size(facts.memory_bytes) if facts.memory_bytes else None
        known = (
            ("Model", facts.model),
            ("Processor", facts.processor),
            ("Architecture", facts.architecture),
            ("Cores", str(facts.cores) if facts.cores else None),
            ("Memory", memory),
            ("System", facts.system),
            ("Python", facts.python),
            ("Runtimes found", ", ".join(f"{name} {version}" for name, version in sorted(facts.runtimes.items()))),
        )
        rows += [(name, value) for name, value in known if value]
    return rows + _state_rows(report)


def _ran_rows(measured: Measured | None) -> list[tuple[str, str]]:
    """What loading the file took, where it ran then, and the energy that it took."""
    if measured is None:
        return []
    times = (("Loading", measured.load_ms), ("First inference", measured.first_ms))
    rows = [(name, f"{value:.3g} ms") for name, value in times if value is not None]
    rows += [("Accelerator", str(measured.ran))] if measured.ran else []
    return [*rows, *(("Energy", str(energy)) for energy in measured.energy)]


def _state_rows(report: Report) -> list[tuple[str, str]]:
    """What the device said of itself around the visits, as ranges."""
    states = [state for visit in report.visits for state in (visit.before, visit.after)]
    accelerators = {
        "GPU": [state.gpu for state in states if state.gpu],
        "NPU": [state.npu for state in states if state.npu],
    }

    def span(values: list[float | None], unit: str) -> str:
        known = [value for value in values if value is not None]
        ends = dict.fromkeys(f"{value:g}" for value in (min(known), max(known))) if known else ()
        return f"{' to '.join(ends)}{unit}" if known else ""

    rows = [
        ("Temperature", span([state.temperature_c for state in states], " °C")),
        ("Frequency", span([state.frequency_mhz for state in states], " MHz")),
        ("Governor", ", ".join(dict.fromkeys(state.governor for state in states if state.governor))),
        ("Load (1 min)", span([state.load_1m for state in states], "")),
        ("Throttling", ", ".join(dict.fromkeys(flag for state in states for flag in state.throttled))),
    ]
    for kind, some in accelerators.items():
        rows += [
            (f"{kind} temperature", span([state.temperature_c for state in some], " °C")),
            (f"{kind} frequency", span([state.frequency_mhz for state in some], " MHz")),
            (f"{kind} load", span([state.load_percent for state in some], " %")),
            (f"{kind} held back by", ", ".join(dict.fromkeys(flag for state in some for flag in state.held_back))),
        ]
    return [(name, value) for name, value in rows if value]


def _reproduce_rows(report: Report) -> list[tuple[str, str]]:
    if (again := report.reproduce) is None:
        return []
    data = again.data
    parts = {"train": data.train, "search": data.search, "judge": data.holdout, "test": data.test}
    images = ", ".join(f"{count:,} to {purpose}" for purpose, count in parts.items())
    return [
        ("Images", f"{data.source} ({images}; {find_task(data.task, data.class_names).summary()})"),
        ("Fingerprint of the images", data.fingerprint),
        ("Fingerprint of the search space", again.space_fingerprint),
        ("Recipe", again.recipe),
        *([("Time", times_text(report.seconds))] if report.seconds else []),
        ("Seed", str(again.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(again.versions.items()))),
    ]
