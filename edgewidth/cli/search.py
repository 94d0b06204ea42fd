"""``edgewidth search``: the best widths within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgewidth.cli.options import BudgetOption, ForceOption, JsonOption, LimitOptions, OutOption
from edgewidth.cli.output import print_document, print_search
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
    as_json: JsonOption


@verb("search", Options)
def command(options: Options) -> None:
    """The configuration of least loss within the budget with its certificate, the frontier, and the baselines.

    Works on the host alone: latencies are predictions. edgewidth run measures the choice as well.
    """
    from edgewidth.errors import InputError  # noqa: PLC0415  help stays instant
    from edgewidth.records.losses import UnaryLosses  # noqa: PLC0415
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415
    from edgewidth.stages.claim import locked  # noqa: PLC0415
    from edgewidth.stages.search import search, table_budget  # noqa: PLC0415

    table, losses = LatencyTable.read(options.table), UnaryLosses.read(options.losses)
    budget = table_budget(options.limits.beside(options.budget), table)
    with locked(options.out) as folder:
        if folder.search.exists() and not options.force:
            raise InputError(f"{folder.search} exists.", remedy="Choose another --out, or --force to replace it.")
        result = search(table, losses, budget)
        result.write(folder.search)
    if options.as_json:
        print_document(result)
    else:
        print_search(result, folder.search)
