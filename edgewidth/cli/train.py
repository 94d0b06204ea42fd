"""``edgewidth train``: the supernet and what every width costs in loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgewidth.cli import options as shared
from edgewidth.cli.output import print_losses, print_result
from edgewidth.cli.progress import meet
from edgewidth.cli.record import names_of, option, refuse_without, verb
from edgewidth.cli.start import StartOptions
from edgewidth.cli.values import FILE

if TYPE_CHECKING:
    from edgewidth.progress import Progress
    from edgewidth.stages.train import Aim


@dataclass(frozen=True)
class Options:
    """What ``edgewidth train`` takes."""

    examples: shared.DataOptions
    network: shared.NetworkOptions
    training: shared.RecipeOptions
    table: Annotated[
        Path | None,
        option(
            "--table",
            type=FILE,
            help="table.json of the device to train for: while training goes on, the range of widths narrows about "
            "--budget.",
        ),
    ]
    budget: shared.BudgetOption
    narrowing: shared.NarrowingOptions
    rivals: shared.RivalsOption
    start: StartOptions
    seed: shared.SeedOption
    out: shared.OutOption
    force: shared.ForceOption
    as_json: shared.JsonOption


@verb("train", Options)
def command(options: Options) -> None:
    """Train the supernet, then estimate what every width costs in loss; goes on where it stopped.

    Without --table one training serves any number of devices and budgets afterwards; with it, one device and budget.
    With --table and --rivals the losses then learn from brief trainings near the budget.
    With several GPUs or machines: torchrun --nproc-per-node N -m edgewidth train …
    """
    from edgewidth.stages.claim import locked_by_first  # noqa: PLC0415  help stays instant
    from edgewidth.stages.rivals import learn_from_rivals  # noqa: PLC0415
    from edgewidth.stages.train import train  # noqa: PLC0415

    processes, progress = meet()
    recipe, aim = options.training.load(), _aim(options, progress)
    with locked_by_first(options.out, processes) as folder:
        data = options.network.images(options.examples, seed=options.seed, progress=progress)
        losses = train(
            options.network.space(data, progress),
            data,
            recipe,
            folder,
            seed=options.seed,
            aim=aim,
            weights=options.start.file(options.network, data, folder, force=options.force, progress=progress),
            force=options.force,
            progress=progress,
        )
        if aim and options.rivals:
            losses = learn_from_rivals(
                aim.table,
                losses,
                aim.budget,
                data,
                recipe,
                folder,
                share=options.rivals,
                seed=options.seed,
                progress=progress,
            )
    if not processes.is_first:
        return
    print_result(losses, as_json=options.as_json, text=lambda: print_losses(losses, folder.losses))


def _aim(options: Options, progress: Progress) -> Aim | None:
    """The device and budget to train for; None: any."""
    from edgewidth.records.table import LatencyTable  # noqa: PLC0415  help stays instant
    from edgewidth.stages.search import table_budget  # noqa: PLC0415
    from edgewidth.stages.train import Aim  # noqa: PLC0415

    if options.table is None:
        refuse_without("--table", "budget", "rivals", *names_of(shared.NarrowingOptions))
        return None
    table = LatencyTable.read(options.table)
    budget = table_budget(options.budget, table)
    progress.say(f"The supernet is trained for a budget of {budget}.")
    return Aim(table, budget, options.narrowing.narrowing())
