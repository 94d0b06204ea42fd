"""Several runs side by side: the same numbers as their reports', on a page, as Markdown, as CSV, and as JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from report import sample
from report.test_report_html import Page

from edgewidth.cli.main import exit_code
from edgewidth.records.compared import ComparedRuns
from edgewidth.report.compared import (
    accuracy,
    as_csv,
    as_markdown,
    compared,
    render_comparison,
    side_by_side,
    summary,
    widths,
)
from edgewidth.report.figure import Numbers
from edgewidth.stages.report import report_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.report import Report


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One within its budget, one over it, and one in which nothing was trained yet."""
    base = tmp_path_factory.mktemp("runs")
    sample.sample_folder(base / "fast", slower=0.9)
    sample.sample_folder(base / "slow", slower=1.2, hostile=sample.HOSTILE)
    sample.sample_folder(base / "begun", until="profile")
    return [base / name for name in ("fast", "slow", "begun")]


@pytest.fixture(scope="module")
def reports(folders: list[Path]) -> list[Report]:
    from edgewidth.stages.folder import RunFolder

    return [report_of(RunFolder(folder)) for folder in folders]


@pytest.fixture(scope="module")
def runs(folders: list[Path], reports: list[Report]) -> ComparedRuns:
    return compared([(folder.name, report) for folder, report in zip(folders, reports, strict=True)])


def test_numbers_are_those_of_the_reports(runs: ComparedRuns, reports: list[Report]) -> None:
    for run, report in zip(runs.runs[:2], reports[:2], strict=True):
        assert report.measured is not None
        assert run.latency_ms == report.measured.value_ms
        named = (one for one in report.artifacts if one.file == report.measured.file)
        emitted = next(named, report.artifacts[0])
        assert (run.accuracy_percent, run.size_bytes) == (emitted.accuracy_percent, emitted.size_bytes)
        assert run.widths == {row.variable: row.chosen for row in report.widths}
    assert [run.verdict for run in runs.runs] == ["within budget", "over budget", "partial"]
    assert runs.runs[2].latency_ms is None
    assert runs.runs[2].widths == {}


@pytest.mark.parametrize("top", [98.9, 100.0])
def test_no_accuracy_is_drawn_above_100_percent(runs: ComparedRuns, top: float) -> None:
    """Alike in all runs, it would be in the middle of its axis."""
    alike = [run.model_copy(update={"accuracy_percent": top}) for run in runs.runs[:2]]
    figure = accuracy(ComparedRuns(runs=tuple(alike)))
    assert figure is not None
    ticks = [float(text) for text in re.findall(r">(\d+(?:\.\d+)?)<", str(figure.wide))]
    assert 100.0 in ticks or top < 100.0
    assert max(tick for tick in ticks if tick > 50) <= 100.0


def test_tables_are_read_back(runs: ComparedRuns) -> None:
    """By the csv module, and by splitting Markdown at its bars; on their side they are the same."""
    table = summary(runs)
    assert list(csv.reader(io.StringIO(as_csv(table)))) == [list(table.columns), *map(list, table.rows)]
    lines = [re.split(r"(?<!\\\\)\|", line.strip())[1:-1] for line in as_markdown(table).splitlines()]
    assert [cell.strip() for cell in lines[0]] == list(table.columns)
    cells = [[cell.strip() for cell in line] for line in lines[2:]]
    assert [cells[0], cells[2]] == [list(table.rows[0]), list(table.rows[2])]  # the second one's names are no Markdown
    assert side_by_side(side_by_side(table)) == table
    assert len(widths(runs).rows) == len(runs.runs[0].widths)


def test_no_cell_is_a_formula_or_a_tag() -> None:
    numbers = Numbers(("run",), (("=1+1",), ("a|b <i>\n",)))
    assert as_csv(numbers).splitlines()[1] == "'=1+1"
    assert as_markdown(numbers).splitlines()[3] == "| a\\|b &lt;i> |"


@pytest.mark.parametrize("cell", ["-1.5 %", "+0.3", "-2 ms", "-12,000"])
def test_signed_numbers_are_numbers(cell: str) -> None:
    """A spreadsheet reads them as they are."""
    assert as_csv(Numbers(("run",), ((cell,),))).splitlines()[1].strip('"') == cell


@pytest.mark.parametrize("cell", ["-1+cmd|' /C calc'!A0", "+A1", "-2 ms;=1", "@SUM(A1)", "-(1)"])
def test_what_only_begins_as_a_number_is_a_formula(cell: str) -> None:
    assert next(csv.reader([as_csv(Numbers(("run",), ((cell,),))).splitlines()[1]])) == [f"'{cell}"]


def test_the_page_is_safe_and_whole(runs: ComparedRuns) -> None:
    evil = runs.model_copy(update={"runs": (runs.runs[0].model_copy(update={"name": sample.HOSTILE}), *runs.runs[1:])})
    html = render_comparison(evil)
    page = Page(html)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.elements}
    assert "&lt;script&gt;" in html
    text = " ".join(page.texts)
    for words in (
        "Accuracy against latency",
        "What each came to",
        "Widths side by side",
        "within budget",
        "over budget",
    ):
        assert words in text


def test_on_the_command_line(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written but the page, and that not twice."""
    names, page = list(map(str, folders)), tmp_path / "compare.html"
    before = sorted(path for folder in folders for path in folder.iterdir())
    assert exit_code(["report", *names, "--out", str(page), "--json"]) == 0
    found = ComparedRuns.model_validate_json(json.dumps(_content(capsys.readouterr().out)))
    assert [run.name for run in found.runs] == names
    assert page.read_text(encoding="utf-8").startswith("\n<!DOCTYPE html>".strip())
    assert exit_code(["report", *names, "--out", str(page)]) == 2
    assert "compare.html exists" in capsys.readouterr().err
    assert exit_code(["report", *names, "--out", str(page), "--force", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("run,device,")
    assert sorted(path for folder in folders for path in folder.iterdir()) == before
    assert exit_code(["report", names[0], "--format", "csv"]) == 2
    assert exit_code(["report", names[0], str(tmp_path)]) == 2


def _content(text: str) -> dict[str, object]:
    """A document without what names its schema."""
    content: dict[str, object] = json.loads(text)
    assert content.pop("schema") == "edgewidth/compared-runs"
    assert content.pop("schema_version") == 1
    return content
