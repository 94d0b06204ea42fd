"""Prints the JSON schema of ``report.json``: ``python -m edgewidth.report.schema > docs/report-schema.json``."""

from __future__ import annotations

import json
import sys

from edgewidth.records.report import Report


def schema_text() -> str:
    """The schema as it stands in ``docs/report-schema.json``."""
    return json.dumps(Report.file_schema(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
