"""``edgewidth train``: the supernet and what every width costs in loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgewidth.cli.options import (
    FILE,
    NARROWING,
    budget_option,
    data_option,
    force_option,
    images_from,
    json_option,
    narrowing_from,
    narrowing_options,
    network_options,
    out_option,
    recipe_from,
    recipe_options,
    refuse_without,
    seed_option,
    space_from,
    weights_option,
)
from edgewidth.cli.output import print_document, print_losses
from edgewidth.cli.together import meet

if TYPE_CHECKING:
    from pathlib import Path


@click.command("train")
@data_option
@network_options
@recipe_options
@click.option(
    "--table",
    "table_path",
    type=FILE,
    default=None,
    help="table.json of the device to train for: while training goes on, the range of widths narrows about --budget.",
)
@budget_option
@narrowing_options
@weights_option
@seed_option
@out_option
@force_option
@json_option
def command(table_path: Path | None, out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Train the supernet, then estimate what every width costs in loss; goes on where it stopped.

    Without --table one training serves any number of devices and budgets afterwards; with it, one device and budget.
    With several GPUs or machines: torchrun --nproc-per-node N -m edgewidth train …
    """
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415  help stays instant
    from edgewidth.stages.claim import locked_by_first  # noqa: PLC0415
    from edgewidth.stages.search import table_budget  # noqa: PLC0415
    from edgewidth.stages.train import Aim, train  # noqa: PLC0415

    processes, progress = meet()
    recipe = recipe_from(options)
    aim = None
    if table_path:
        table = LatencyTable.read(table_path)
        budget = table_budget(options["budget"], table)
        aim = Aim(table, budget, narrowing_from(options))
        progress.say(f"The supernet is trained for a budget of {budget}.")
    else:
        refuse_without("--table", "budget", *NARROWING)
    with locked_by_first(out, processes) as folder:
        data = images_from(options, progress)
        space = space_from(options, data)
        losses = train(
            space,
            data,
            recipe,
            folder,
            seed=options["seed"],
            aim=aim,
            weights=options["weights"],
            force=force,
            progress=progress,
        )
    if not processes.is_first:
        return
    if as_json:
        print_document(losses)
    else:
        print_losses(losses, folder.losses)
