"""``edgewidth table``: look at a latency table, or refit it without a device."""

from __future__ import annotations

from pathlib import Path

import click

from edgewidth.cli.options import json_option
from edgewidth.cli.output import print_document, print_entries


@click.group("table")
def command() -> None:
    """Look at a latency table, or refit it without a device."""


@command.command("show")
@click.argument("table_path", metavar="TABLE", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def show_command(table_path: Path, as_json: bool) -> None:
    """What TABLE was fitted to, how good it is, and what each layer needs."""
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415  help stays instant

    table = LatencyTable.read(table_path)
    if as_json:
        print_document(table)
    else:
        print_entries(table)


@command.command("fit")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def fit_command(folder: Path, as_json: bool) -> None:
    """Fit the table of a run FOLDER again, to all measurements that it holds now."""
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415  help stays instant
    from edgewidth.stages.profile import refit  # noqa: PLC0415

    table = refit(RunFolder(folder))
    if as_json:
        print_document(table)
    else:
        print_entries(table)
