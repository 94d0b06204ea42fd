"""Results in notebooks: their numbers, escaped, in the device's words, and a style that stays inside."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest
from report import sample
from report.test_looks import looked
from report.test_report_html import Page
from support import require

from edgewidth.records.artifact import Artifacts
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import Clock, LatencyEstimate
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.report.units import milliseconds, percent, significant
from edgewidth.stages.report import report_of

if TYPE_CHECKING:
    from edgewidth.records.report import Report
    from edgewidth.shown import Shown


class Results(NamedTuple):
    """One of each kind that the library's functions give back."""

    table: LatencyTable
    losses: UnaryLosses
    search: SearchResult
    artifacts: Artifacts
    validation: ValidationReport
    report: Report
    estimate: LatencyEstimate


def results(path: Path, hostile: str = "", clock: Clock = Clock.WALL) -> Results:
    """Of the sample's run, whose latencies are of this clock."""
    folder = sample.sample_folder(path, hostile=hostile, slower=0.985)
    for file in (folder.table, folder.validation):
        file.write_text(file.read_text().replace('"clock": "wall"', f'"clock": "{clock}"'))
    SearchResult.read(folder.search).model_copy(update={"clock": clock}).write(folder.search)
    validation = ValidationReport.read(folder.validation)
    return Results(
        table=LatencyTable.read(folder.table),
        losses=UnaryLosses.read(folder.losses),
        search=SearchResult.read(folder.search),
        artifacts=Artifacts.read(folder.artifacts),
        validation=validation,
        report=report_of(folder),
        estimate=validation.estimate,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results(tmp_path_factory.mktemp("run"))


def shown(result: Shown) -> Page:
    """What a notebook gets, with every end tag held against its start tag."""
    return Page(result._repr_html_())


def text_of(result: Shown) -> str:
    return re.sub(r"\s+", " ", " ".join(shown(result).texts))


def test_each_shows_its_own_numbers(found: Results) -> None:
    chosen, measured = found.search.chosen, found.validation.estimate
    expected: dict[str, tuple[str, ...]] = {
        "table": (percent(found.table.quality.mape_percent), significant(found.table.held_out[0].measured_ms)),
        "losses": (f"{found.losses.variables[3].values[0]:.4f}", f"{found.losses.held_out[0].quality.spearman:.2f}"),
        "search": (significant(chosen.predicted_ms), f"{chosen.predicted_loss:.4f}", str(chosen.config), "10 ms"),
        "artifacts": tuple(percent(one.accuracy_percent, 2) for one in found.artifacts.artifacts),
        "validation": ("Within budget", significant(measured.value_ms), milliseconds(measured.high_ms)),
        "report": ("Within budget", significant(measured.value_ms), str(chosen.config)),
        "estimate": (significant(measured.value_ms), milliseconds(measured.high_ms), "540 runs in 9 visits"),
    }
    for name, result in found._asdict().items():
        told = text_of(result)
        assert [number for number in expected[name] if number not in told] == [], name


def test_pictures_are_there(found: Results) -> None:
    """A table's two, the losses' rows, the frontier and the widths, every run."""
    pictures = {
        name: sum(one.get("role") == "img" and bool(one.get("aria-label")) for one in shown(result).all("svg"))
        for name, result in found._asdict().items()
    }
    assert pictures["table"] == 2
    assert pictures["estimate"] == pictures["artifacts"] == 0
    assert min(pictures[name] for name in ("losses", "search", "validation", "report")) >= 4  # wide and narrow ones


def test_what_has_no_verdict_is_not_given_one(found: Results) -> None:
    without = found.validation.model_copy(update={"budget": None, "within_budget": None})
    told = text_of(without)
    assert "Measured" in told
    assert "Not finished" not in told
    assert "Not finished" in text_of(found.report.model_copy(update={"verdict": "partial"}))


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    """A class, a device, a file and a folder named as a script."""
    hostile = results(tmp_path, hostile=sample.HOSTILE)
    for name, result in hostile._asdict().items():
        page = shown(result)
        assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.elements}, name
        assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")], name
    for result, place in ((hostile.table, "rpi4"), (hostile.validation, "model_int8"), (hostile.report, "flowers")):
        assert f"{place}{sample.HOSTILE}" in "".join(shown(result).texts)


@pytest.mark.parametrize("name", ["table", "search", "validation", "report", "estimate"])
def test_an_estimate_is_never_called_measured(tmp_path: Path, name: str) -> None:
    """In no text, tooltip or table, but where it is denied."""
    result: Shown = getattr(results(tmp_path, clock=Clock.ESTIMATE), name)
    if name in {"validation", "report"}:
        result = cast("Report | ValidationReport", result).model_copy(update={"warnings": ()})  # the sample's own words
    html = re.sub(r"<style>.*?</style>| (class|id|href)=\"[^\"]*\"", "", result._repr_html_(), flags=re.DOTALL)
    denied = "none: a compiler&#39;s estimate, nothing was run or measured"
    assert {told.strip() for told in re.findall(r"[^.|>]*measur[^.|<]*", html, re.IGNORECASE)} <= {denied}
    assert "estimated" in html or name == "estimate"  # one that does not know of what it is


def test_places_are_named_apart(found: Results) -> None:
    """Several results stand in one page, beside headings of its own; links stay within each."""
    pages = [shown(result) for result in found]
    named = [attributes["id"] or "" for page in pages for _, attributes in page.elements if "id" in attributes]
    assert len(named) == len(set(named)) > 10
    assert all(name.startswith("edgewidth-") for name in named)
    for page in pages:
        own = {attributes.get("id") for _, attributes in page.elements}
        assert {(link["href"] or "")[1:] for link in page.all("a")} <= own


def outermost(css: str) -> list[str]:
    """The selectors that stand in no other's braces."""
    found, depth, text = [], 0, ""
    for letter in re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL):
        if letter == "{":
            if depth == 0:
                found.append(text.strip())
            depth += 1
        depth -= letter == "}"
        text = "" if letter in "{}" else text + letter
    assert depth == 0
    return found


def test_the_style_is_for_what_is_inside_alone(found: Results) -> None:
    for result in found:
        [css] = re.findall(r"<style>(.*?)</style>", result._repr_html_(), re.DOTALL)
        own, by_theme = outermost(css)
        assert set(own.split(".")[1:]) == {"edgewidth"}
        assert by_theme == "@media screen"
        [inside] = outermost(css[css.rindex("@media screen {") + len("@media screen {") : css.rindex("}")])
        assert inside.endswith(f") {own}")


def test_other_values_are_named_and_not_told(found: Results) -> None:
    """What stands beside the HTML in a notebook's file is short."""

    class Written(list[str]):
        text = list.append

    written = Written()
    found.search._repr_pretty_(written, cycle=False)
    assert written[0].startswith("<SearchResult: provenance, space, clock, budget, chosen,")
    assert len(written[0]) < 200


NOTEBOOK = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A notebook</title>
<meta name="viewport" content="width=device-width"><style>
body { margin: 0; font-family: serif; } .cell { padding: 8px; background: #fff; color: #222; }
.dark { background: #111; color: #ddd; }
.out table { table-layout: fixed; font-size: 5px; } .out tbody tr:nth-child(odd) { background: #c33; }
.out dl dd:not([class]) { color: #c33; margin-left: 900px; } .out h2 { font-size: 90px; } .out ul li { color: #c33; }
[data-jp-theme-light] .out table:not([class]) :is(th, td):not([align]) { text-align: left; color: #c33; }
.out figure, .out details { display: flex; width: 3000px; border: 9px solid #c33; }
</style></head><body>
<div class="cell" data-jp-theme-light="true"><h1 class="verdict">light</h1><div class="out">HERE</div></div>
<div class="cell dark" data-jp-theme-light="false"><p class="verdict">dark</p><div class="out">HERE</div></div>
</body></html>"""
"""Styles as notebooks and sites have them, and worse."""


def test_it_looks_right_in_light_and_dark_notebooks(found: Results, tmp_path: Path) -> None:
    """Whatever the system's own theme is: contrast, overflow and keyboard, in a browser."""
    require(shutil.which("chromium") or shutil.which("google-chrome"), "chromium (Debian: chromium)")
    outputs = "".join(one._repr_html_() for one in (found.search, found.validation, found.estimate))
    page = tmp_path / "notebook.html"
    page.write_text(NOTEBOOK.replace("HERE", outputs), encoding="utf-8")
    done = looked(page, tmp_path / "looks")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, []), done.stdout + done.stderr
