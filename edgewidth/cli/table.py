"""``edgewidth table``: look at a latency table, or refit it without a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from edgewidth.cli.options import FormatOption, JsonOption
from edgewidth.cli.output import print_entries, print_result
from edgewidth.cli.record import argument, verb
from edgewidth.cli.values import FOLDER


@dataclass(frozen=True)
class ShowOptions:
    """What ``edgewidth table show`` takes."""

    table: Annotated[Path, argument(type=click.Path(path_type=Path, dir_okay=False))]
    table_format: FormatOption
    as_json: JsonOption


@dataclass(frozen=True)
class FitOptions:
    """What ``edgewidth table fit`` takes."""

    folder: Annotated[Path, argument(type=FOLDER)]
    as_json: JsonOption


@verb("show", ShowOptions)
def show_command(options: ShowOptions) -> None:
    """What TABLE was fitted to, how good it is, and what each layer needs."""
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415  help stays instant

    table = LatencyTable.read(options.table)
    print_result(table, as_json=options.as_json, text=lambda: print_entries(table, how=options.table_format))


@verb("fit", FitOptions)
def fit_command(options: FitOptions) -> None:
    """Fit the table of a run FOLDER again, to all measurements that it holds now."""
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415  help stays instant
    from edgewidth.stages.profile import refit  # noqa: PLC0415

    table = refit(RunFolder(options.folder))
    print_result(table, as_json=options.as_json, text=lambda: print_entries(table))


command = click.Group(
    "table", commands=[show_command, fit_command], help="Look at a latency table, or refit it without a device."
)
