"""The schema, numbers as text, scales and marks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import sample

from edgewidth.records.report import Report
from edgewidth.report import units
from edgewidth.report.schema import schema_text
from edgewidth.report.svg import Picture, Scale, covering, tick_texts
from edgewidth.stages.report import report_of

SCHEMA = Path(__file__).parents[2] / "docs" / "report-schema.json"


def test_the_documented_schema_is_current() -> None:
    remedy = "python -m edgewidth.report.schema > docs/report-schema.json"
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), remedy


def test_the_schema_names_what_a_report_holds(tmp_path: Path) -> None:
    content = json.loads(report_of(sample.sample_folder(tmp_path)).to_json())
    schema = Report.file_schema()
    assert set(schema["properties"]) == set(schema["required"]) == set(content)
    assert content["schema"] == schema["properties"]["schema"]["const"] == Report.schema_name
    measured = schema["$defs"]["Measured"]["properties"]
    assert set(content["measured"]) == set(measured)
    assert "budget's statistic" in measured["value_ms"]["description"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.98612, "9.986"), (0.12341, "0.1234"), (22.0, "22.00"), (100.0, "100.0"), (12345.6, "12346"), (0.0, "0.000")],
)
def test_four_significant_digits(value: float, text: str) -> None:
    assert units.significant(value) == text


def test_sizes_counts_and_signs() -> None:
    assert [units.size(n) for n in (900, 1320, 4_510_000, 3_976_822_784)] == [
        "900 bytes",
        "1.32 kB",
        "4.51 MB",
        "3.98 GB",
    ]
    assert [units.count(n) for n in (12, 46_900_000, 3.7e15)] == ["12", "46.9 M", "3.7 × 10¹⁵"]
    assert [units.count(15 * 10**n) for n in (11, 99, 999)] == ["1.5 × 10¹²", "1.5 × 10¹⁰⁰", "1.5 × 10¹⁰⁰⁰"]
    assert (units.signed(-1.24), units.signed(0.5), units.percent(None)) == ("−1.2 %", "+0.5 %", "–")


def test_long_lists_end_in_a_number() -> None:
    assert units.listed(["w0", "w1", "w2"], 3) == "w0, w1, w2"
    assert units.listed(["w0", "w1", "w2"], 1) == "w0 and 2 more"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_are_round_few_and_inside(low: float, span: float, count: int) -> None:
    high = low + max(span, abs(low) * 1e-6)
    ticks = Scale(low, high, 0, 100).ticks(count)
    step = (high - low) / count
    assert all(low - 1e-6 * step <= tick <= high + 1e-6 * step for tick in ticks)
    assert count / 2 - 1 <= len(ticks) <= 2 * count + 1
    assert len(set(tick_texts(ticks))) == len(ticks)


@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.booleans())
def test_a_range_covers_its_values_and_is_never_empty(values: list[float], zero: bool) -> None:
    positive = [abs(value) for value in values] if zero else values
    low, high = covering(positive, zero=zero)
    assert low < high
    assert all(low <= value <= high for value in positive)


def test_a_scale_maps_its_ends_and_holds_what_lies_outside() -> None:
    scale = Scale(2.0, 4.0, 100.0, 0.0)
    assert [scale(value) for value in (2.0, 3.0, 4.0, 9.0, -1.0)] == [100, 50, 0, 0, 100]


def test_texts_in_pictures_are_escaped() -> None:
    picture = Picture('a "label" <b>', 10, 10)
    picture.text((0, 0), sample.HOSTILE)
    picture.mark((1, 1), "chosen", hint=sample.HOSTILE)
    markup = str(picture.markup())
    assert "<script" not in markup
    assert "<b>" not in markup
    assert markup.count("&lt;script&gt;") == 2
