"""``edgewidth search``: the best widths within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgewidth.cli.options import BudgetOption, ForceOption, FormatOption, JsonOption, LimitOptions, OutOption
from edgewidth.cli.output import print_result, print_search
from edgewidth.cli.record import option, verb
from edgewidth.cli.values import FILE


@dataclass(frozen=True)
class Options:
    """What ``edgewidth search`` takes."""

    table: Annotated[Path, option("--table", type=FILE, required=True, help="table.json of edgewidth profile.")]
    losses: Annotated[Path, option("--losses", type=FILE, required=True, help="losses.json of edgewidth train.")]
    budget: BudgetOption
    limits: LimitOptions
    out: OutOption
    force: ForceOption
    table_format: FormatOption
    as_json: JsonOption


@verb("search", Options)
def command(options: Options) -> None:
    """The configuration of least loss within the budget with its certificate, the frontier, and the baselines.

    Works on the host alone: latencies are predictions. edgewidth run measures the choice as well.
    """
    from edgewidth.stages.face import search  # noqa: PLC0415
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415  help stays instant

    budget = options.limits.beside(options.budget)
    result = search(options.table, options.losses, budget, out=options.out, force=options.force)
    path, how = RunFolder(options.out).search, options.table_format
    print_result(result, as_json=options.as_json, text=lambda: print_search(result, path, how=how))
