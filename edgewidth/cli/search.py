"""``edgewidth search``: the best widths within a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgewidth.cli.options import FILE, budget_from, budget_option, force_option, json_option, limit_options, out_option
from edgewidth.cli.output import print_document, print_search

if TYPE_CHECKING:
    from pathlib import Path


@click.command("search")
@click.option("--table", "table_path", type=FILE, required=True, help="table.json of edgewidth profile.")
@click.option("--losses", "losses_path", type=FILE, required=True, help="losses.json of edgewidth train.")
@budget_option
@limit_options
@out_option
@force_option
@json_option
def command(table_path: Path, losses_path: Path, out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """The configuration of least loss within the budget with its certificate, the frontier, and the baselines.

    Works on the host alone: latencies are predictions. edgewidth run measures the choice as well.
    """
    from edgewidth.errors import InputError  # noqa: PLC0415  help stays instant
    from edgewidth.records.losses import UnaryLosses  # noqa: PLC0415
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415
    from edgewidth.stages.claim import locked  # noqa: PLC0415
    from edgewidth.stages.search import search, table_budget  # noqa: PLC0415

    table, losses = LatencyTable.read(table_path), UnaryLosses.read(losses_path)
    budget = table_budget(budget_from(options), table)
    with locked(out) as folder:
        if folder.search.exists() and not force:
            raise InputError(f"{folder.search} exists.", remedy="Choose another --out, or --force to replace it.")
        result = search(table, losses, budget)
        result.write(folder.search)
    if as_json:
        print_document(result)
    else:
        print_search(result, folder.search)
