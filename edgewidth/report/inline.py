"""A result as a notebook shows it: what the report's page has of it, in a style that stays inside.

A record that stands alone is shown as the report of a run folder that holds nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewidth.records.artifact import Artifacts
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.measurement import LatencyEstimate
from edgewidth.records.report import Report
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.records.validation import ValidationReport
from edgewidth.report.build import build_report
from edgewidth.report.html import heading_of, page_environment, parts
from edgewidth.report.inputs import Inputs

if TYPE_CHECKING:
    from edgewidth.shown import Shown

_INPUTS: dict[type[Shown], str] = {
    LatencyTable: "table",
    UnaryLosses: "losses",
    SearchResult: "search",
    Artifacts: "artifacts",
    ValidationReport: "validation",
}
"""The documents that are shown, and the fields of ``Inputs`` that they are."""


def render_inline(record: Shown) -> str:
    """A record as HTML that may stand among others, every outside string escaped.

    Raises:
        FileError: It is a validation without a measured visit.
    """
    if isinstance(record, LatencyEstimate):
        return page_environment().get_template("estimate.html.j2").render(estimate=record)
    report = record if isinstance(record, Report) else _alone(record)
    template = page_environment().get_template("inline.html.j2")
    return template.render(parts(report), heading=_heading(record, report), prefix=f"edgewidth-{report.digest}-")


def _alone(record: Shown) -> Report:
    """The report of one document."""
    only: dict[str, Any] = {_INPUTS[type(record)]: record}
    return build_report(Inputs(space=getattr(record, "space", None), **only))


def _heading(record: Shown, report: Report) -> str | None:
    """What stands above the latency; None: there is none to stand above."""
    if isinstance(record, Report):
        return heading_of(report) or "Not finished"
    if isinstance(record, ValidationReport):
        return heading_of(report) or report.words.past.capitalize()
    return "Chosen" if report.predicted else None
