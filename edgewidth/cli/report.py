"""``edgewidth report``: the run folder for people and for programs."""

from __future__ import annotations

from pathlib import Path

import click

from edgewidth.cli.options import json_option
from edgewidth.cli.output import print_document, print_report


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Write report.json and report.html of a run FOLDER, complete or not."""
    from edgewidth.errors import InputError  # noqa: PLC0415  help stays instant
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415
    from edgewidth.stages.report import report  # noqa: PLC0415

    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    built = report(RunFolder(folder))
    if as_json:
        print_document(built)
    else:
        print_report(built, RunFolder(folder))
