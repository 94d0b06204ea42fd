"""The stage that writes a run folder's reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.files import write_atomic

if TYPE_CHECKING:
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.report import Report


def report(folder: RunFolder) -> Report:
    """Write ``report.json`` and ``report.html`` from what the folder holds so far.

    Raises:
        FileError: The folder holds nothing to report on, or a file that cannot be read.
    """
    from edgewidth.report.build import build_report  # noqa: PLC0415  jinja2 loads when it is needed
    from edgewidth.report.html import render_html  # noqa: PLC0415

    built = build_report(folder)
    built.write(folder.report_json)
    write_atomic(folder.report_html, render_html(built).encode())
    return built
