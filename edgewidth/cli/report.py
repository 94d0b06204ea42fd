"""``edgewidth report``: the run folder for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgewidth.cli.options import JsonOption
from edgewidth.cli.output import print_report, print_result
from edgewidth.cli.record import argument, verb
from edgewidth.cli.values import FOLDER


@dataclass(frozen=True)
class Options:
    """What ``edgewidth report`` takes."""

    folder: Annotated[Path, argument(type=FOLDER)]
    as_json: JsonOption


@verb("report", Options)
def command(options: Options) -> None:
    """Write report.json and report.html of a run FOLDER, complete or not."""
    from edgewidth.stages.face import report  # noqa: PLC0415
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415  help stays instant

    built = report(options.folder)
    folder = RunFolder(options.folder)
    print_result(built, as_json=options.as_json, text=lambda: print_report(built, folder))
