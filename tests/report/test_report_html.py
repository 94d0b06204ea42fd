"""The page: safe, self-contained, well-formed, legible."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from report import sample

from edgewidth.records.budget import Limits
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import (
    AcceleratorState,
    Clock,
    Covers,
    DeviceState,
    EnergyEstimate,
    EnergyQuality,
    Footprint,
    MeasurementWarning,
    Ran,
)
from edgewidth.records.report import VariableWidths
from edgewidth.records.search import SearchResult
from edgewidth.records.validation import ValidationReport
from edgewidth.report.charts_search import widths
from edgewidth.report.html import render_html
from edgewidth.stages.report import report_of

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Elements, texts and attributes, with every end tag held against its start tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render_html(report_of(sample.sample_folder(tmp_path_factory.mktemp("run"), slower=0.985)))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_needs_nothing_but_itself(html: str, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    outside = re.compile(r"https?:|url\(|@import|\bsrc=", re.IGNORECASE)
    assert not outside.search(html.replace("http-equiv", ""))
    assert all((attributes["href"] or "").startswith("#") for attributes in page.all("a"))
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_energy_and_accelerators_are_told(tmp_path: Path) -> None:
    """The best estimate on top, all of them with how good they are below; the clock of a GPU over time."""
    report = report_of(sample.sample_folder(tmp_path, slower=0.985))
    assert report.measured is not None
    fields = {"value_mj": 12.34, "low_mj": 12.0, "high_mj": 12.7, "visits": 10, "power_w": 3.1}
    good = EnergyEstimate(
        source="psys", covers=Covers.BOARD, quality=EnergyQuality.GOOD, idle_w=1.1, above_idle_mj=7.96, **fields
    )
    poor = EnergyEstimate(source="<battery>", covers=Covers.BOARD, quality=EnergyQuality.POOR, **fields)
    visits = tuple(
        visit.model_copy(update={"after": visit.after.model_copy(update={"gpu": gpu}), "before": DeviceState(gpu=gpu)})
        for number, visit in enumerate(report.visits)
        for gpu in [AcceleratorState(frequency_mhz=900 - 10 * number, load_percent=50, held_back=("heat",))]
    )
    measured = report.measured.model_copy(update={"energy": (good, poor)})
    texts = Page(render_html(report.model_copy(update={"measured": measured, "visits": visits}))).texts
    assert {"12.3 mJ", "good: by psys, 7.96 mJ above idle", str(good), str(poor)} <= set(texts)
    assert {"GPU frequency", "810 to 900 MHz", "50 %", "heat"} <= set(texts)


def test_a_file_that_takes_too_much_memory_is_said_to(tmp_path: Path) -> None:
    """Fast enough, and over the budget all the same: the page says by what."""
    folder = sample.sample_folder(tmp_path, slower=0.985)
    ran = Ran(operators=31, accelerated=31, footprint=Footprint(sram_bytes=310_000, flash_bytes=900_000))
    limits = Limits(activation_bytes=300_000)
    validation = ValidationReport.read(folder.validation)
    assert validation.budget is not None
    budget = validation.budget.model_copy(update={"limits": limits})
    validation.model_copy(update={"ran": ran, "budget": budget}).write(folder.validation)
    texts = Page(render_html(report_of(folder))).texts
    assert {"Over budget", "It takes 310 kB of SRAM, more than the 300 kB allowed."} <= {text.strip() for text in texts}


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({}, "no configuration lies below the line"),
        ({"bounded": True}, "the line is the best that was found"),
        ({"bounded": True, "frontier_gap": 0.0123}, "no configuration lies more than 0.0123 below the line, the best"),
        ({"memory_bounded": True}, "others that keep it, too, were ruled out, and may be better."),
    ],
)
def test_nothing_is_certified_that_was_not_proved(bounds: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = sample.sample_folder(tmp_path, until="search")
    found = SearchResult.read(folder.search)
    found.model_copy(update={"certificate": found.certificate.model_copy(update=bounds)}).write(folder.search)
    html = render_html(report_of(folder))
    assert said in html
    assert ("no configuration lies below the line" in html) != bool(bounds.get("bounded"))
    assert ("may be better" in html) == bool(bounds.get("memory_bounded"))


@pytest.mark.parametrize(("suffix", "accuracy"), [("tflite", "91.32 %"), ("onnx", "91.26 %")])
def test_the_accuracy_on_top_is_of_the_file_that_was_measured(suffix: str, accuracy: str, tmp_path: Path) -> None:
    """In the format that the device executes."""
    report = report_of(sample.sample_folder(tmp_path, slower=0.985))
    assert report.measured is not None
    measured = report.measured.model_copy(update={"file": f"model_int8.{suffix}"})
    texts = Page(render_html(report.model_copy(update={"measured": measured}))).texts
    assert texts[texts.index("int8 accuracy") + 1] == accuracy


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    html = render_html(report_of(sample.sample_folder(tmp_path, hostile=sample.HOSTILE, slower=0.985)))
    page = Page(html)
    assert not page.all("script")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    shown = "".join(page.texts)
    for place in ("rpi4", "model_int8", "photos/flowers", "measured again."):
        assert f"{place}{sample.HOSTILE}" in shown


def test_parameters_are_set_as_code(tmp_path: Path) -> None:
    """Also beside what must not become markup."""
    report = report_of(sample.sample_folder(tmp_path))
    warning = MeasurementWarning(code="x", message="<b>`threads=1`</b>", remedy="Raise `max_width`.")
    html = render_html(report.model_copy(update={"warnings": (warning,)}))
    assert "<li>&lt;b&gt;<code>threads=1</code>&lt;/b&gt;<span>→ Raise <code>max_width</code>.</span></li>" in html
    assert "`" not in html


def test_an_estimate_is_never_called_measured(tmp_path: Path) -> None:
    """In no text, tooltip or table of the page, nor in its sentences for a terminal, but where it is denied."""
    folder = sample.sample_folder(tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text(path.read_text().replace('"clock": "wall"', '"clock": "estimate"'))
    report = report_of(folder)
    html = re.sub(r"<style>.*?</style>", "", render_html(report.model_copy(update={"warnings": ()})), flags=re.DOTALL)
    told = re.sub(r' (class|id|href)="[^"]*"', "", html) + report.summary
    assert re.findall(r"[^.|>]*measur[^.|<]*", told, re.IGNORECASE) == [
        "none: a compiler&#39;s estimate, nothing was run or measured"
    ]
    assert "estimated" in told


def test_the_verdict_comes_first(page: Page) -> None:
    text = re.sub(r"\s+", " ", "".join(page.texts))
    order = [
        "Within budget",
        "times as fast",
        "Every run on the device",
        "Predicted against measured",
        "What every latency can buy",
        "Widths, layer by layer",
        "Accuracy by artifact",
        "costs 3.75 points on 2,000 images kept out of training, and training for int8 regains 3.25 of them.",
        "What narrow layers cost",
        "Supernet: loss",
        "Chosen network for int8: loss",
        "The device",
        "Do it again",
    ]
    places = [text.rindex(words) for words in order]
    assert places == sorted(places)


def test_pictures_have_words_and_numbers_beside_them(page: Page) -> None:
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert sum(bool(svg["aria-label"]) for svg in pictures) >= 12
    # Swatches of a key have no label of their own; the key's list is hidden from readers, its table is not.
    assert all(lists.get("aria-hidden") == "true" for lists in page.all("ul") if lists.get("class") == "keys")
    assert len(page.all("table")) >= 10
    assert len(page.all("html")) == len(page.all("h1")) == 1


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= set(ids)


def test_marks_lie_inside_their_pictures(page: Page) -> None:
    sizes = {"svg": (0.0, 0.0)}
    marks = 0
    for tag, attributes in page.elements:
        if tag == "svg":
            _, _, width, height = map(float, (attributes["viewbox"] or "").split())
            sizes["svg"] = (width, height)
        if tag == "circle":
            marks += 1
            assert 0 <= float(attributes["cx"] or "nan") <= sizes["svg"][0]
            assert 0 <= float(attributes["cy"] or "nan") <= sizes["svg"][1]
    assert marks > 100


@pytest.mark.parametrize("until", sample.STAGES)
def test_partial_folders_make_a_page(tmp_path: Path, until: str) -> None:
    report = report_of(sample.sample_folder(tmp_path, until=until, slower=0.985))
    text = "".join(Page(render_html(report)).texts)
    assert ("Not finished" in text) == (until != "validate")
    assert ("predicted, not measured" in text) == (until in {"search", "finetune", "export"})


def test_the_least_that_can_be_drawn(tmp_path: Path) -> None:
    """One run, one visit, one point on the frontier, no baseline, losses that are all zero."""
    folder = sample.sample_folder(tmp_path, slower=0.985)
    validation = ValidationReport.read(folder.validation)
    visit = validation.visits[0].model_copy(update={"runs_ns": (9_800_000,)})
    validation.model_copy(update={"visits": (visit,)}).write(folder.validation)
    found = SearchResult.read(folder.search)
    found.model_copy(update={"frontier": found.frontier[:1], "baselines": {}}).write(folder.search)
    losses = UnaryLosses.read(folder.losses)
    flat = tuple(one.model_copy(update={"values": (0.0,) * len(one.values)}) for one in losses.variables)
    losses.model_copy(update={"variables": flat, "held_out": losses.held_out[:1]}).write(folder.losses)
    text = "".join(Page(render_html(report_of(folder))).texts)
    assert "Within budget" in text
    assert "nan" not in text


def test_a_disturbed_device_and_an_emulated_clock_are_said(tmp_path: Path) -> None:
    folder = sample.sample_folder(tmp_path, slower=0.985)
    validation = ValidationReport.read(folder.validation)
    emulated = validation.setting.model_copy(update={"clock": Clock.ICOUNT})
    every = tuple(visit.model_copy(update={"disturbed": "hot"}) for visit in validation.visits)
    none = validation.estimate.model_copy(update={"counted_percent": 0.0})
    validation.model_copy(update={"setting": emulated, "visits": every, "estimate": none}).write(folder.validation)
    text = "".join(Page(render_html(report_of(folder))).texts)
    assert "1 ns is one instruction" in text
    assert "disturbed, not counted" in text
    assert "100 % of its runs do not count" in text


def colours(css: str) -> dict[str, tuple[int, ...]]:
    pairs = re.findall(r"--([a-z-]+): #([0-9a-f]{6});", css)
    return {name: tuple(int(value[i : i + 2], 16) for i in (0, 2, 4)) for name, value in pairs}


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_both_themes_and_print_are_legible(html: str, theme: int) -> None:
    palette = colours(re.findall(r":root \{(.*?)\}", html, re.DOTALL)[theme])
    for text in ("ink", "soft", "blue"):
        assert contrast(palette[text], palette["page"]) >= 4.5
        assert contrast(palette[text], palette["card"]) >= 4.5
    for tone in ("good", "bad", "open"):
        assert contrast(palette[tone], palette[f"{tone}-bg"]) >= 4.5
    for mark in ("orange", "green", "violet", "sky"):
        assert contrast(palette[mark], palette["page"]) >= 3.0


def test_forty_variables_of_long_layers_stay_legible(tmp_path: Path) -> None:
    """Labels end before the bars begin, a list of widths ends, and nothing is left out of the numbers."""
    report = report_of(sample.sample_folder(tmp_path, slower=0.985))
    layers = tuple(f"features_stage3_unit{i}_body_conv2" for i in range(12))
    row = VariableWidths(
        variable="w0",
        layers=layers,
        base=64,
        choices=(8, 64, 112),
        chosen=8,
        uniform=64,
        uniform_full=64,
        at_end="lowest",
    )
    rows = tuple(row.model_copy(update={"variable": f"w{i}"}) for i in range(40))
    figure = widths(report.model_copy(update={"widths": rows}))
    assert figure is not None
    assert figure.caption.endswith("w6 (lowest), w7 (lowest) and 32 more.")
    assert figure.numbers is not None
    assert [cells[1] for cells in figure.numbers.rows] == [", ".join(layers)] * 40
    shown = Page(str(figure.wide)).texts
    labels = [text for text in shown if " · " in text]
    assert labels[39] == "w39 · features_stage3_u… +11"
    bar = next(line for line in Page(str(figure.wide)).all("line") if line["class"] == "range")
    assert all(7 * len(label) < float(bar["x1"] or 0) + 20 for label in labels)
