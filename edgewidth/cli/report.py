"""``edgewidth report``: run folders for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from edgewidth.cli.options import FormatOption, JsonOption
from edgewidth.cli.output import print_compared, print_numbers, print_report, print_result
from edgewidth.cli.record import argument, option, verb
from edgewidth.cli.values import FOLDER, TableFormat
from edgewidth.errors import InputError


@dataclass(frozen=True)
class Options:
    """What ``edgewidth report`` takes."""

    folders: Annotated[tuple[Path, ...], argument(type=FOLDER, nargs=-1, required=True, metavar="DIR...")]
    out: Annotated[
        Path | None,
        option(
            "--out",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="With several folders: the page that compares them.  [default: none is written]",
        ),
    ]
    table_format: FormatOption
    force: Annotated[bool, option("--force", is_flag=True, help="Write over the page that is there.")]
    as_json: JsonOption


@verb("report", Options)
def command(options: Options) -> None:
    """Write report.json and report.html of a run folder, complete or not; compare several.

    Several DIRs, of other budgets, devices, engines or days, are compared, and nothing in them is written.
    """
    from edgewidth.stages.face import report  # noqa: PLC0415
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415  help stays instant

    if len(options.folders) > 1:
        _compare(options)
        return
    if options.out is not None or options.table_format is not TableFormat.TEXT:
        raise InputError("There is one folder, and nothing to compare it with.", remedy="Give several folders.")
    [path] = options.folders
    built = report(path)
    print_result(built, as_json=options.as_json, text=lambda: print_report(built, RunFolder(path)))


def _compare(options: Options) -> None:
    from edgewidth.files import write_atomic  # noqa: PLC0415  help stays instant
    from edgewidth.report.compared import compared, render_comparison, side_by_side, summary  # noqa: PLC0415
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415
    from edgewidth.stages.report import report_of  # noqa: PLC0415

    if options.out is not None and options.out.exists() and not options.force:
        raise InputError(f"{options.out} exists.", remedy="Choose another `out`, or `force` to replace it.")
    runs = compared([(str(path), report_of(RunFolder(path))) for path in options.folders])
    if options.out is not None:
        write_atomic(options.out, render_comparison(runs).encode())
    if options.as_json or options.table_format is TableFormat.TEXT:
        print_result(runs, as_json=options.as_json, text=lambda: print_compared(side_by_side(summary(runs))))
        return
    print_numbers(summary(runs), options.table_format)
