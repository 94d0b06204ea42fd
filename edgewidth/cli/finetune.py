"""``edgewidth finetune``: train the chosen network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgewidth.cli.options import (
    data_option,
    force_option,
    images_from,
    json_option,
    network_options,
    out_option,
    recipe_option,
    seed_option,
    space_from,
)
from edgewidth.cli.output import print_json
from edgewidth.cli.progress import TerminalProgress


@click.command("finetune")
@click.option(
    "--config", required=True, help="A channel configuration such as 16-32-…, or the search.json that chose one."
)
@click.option(
    "--supernet",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Start from this supernet.  [default: supernet.safetensors in --out, if it is there]",
)
@click.option("--from-scratch", is_flag=True, help="Start from random weights even so.")
@data_option
@network_options
@recipe_option
@seed_option
@out_option
@force_option
@json_option
def command(
    config: str, supernet: Path | None, from_scratch: bool, out: Path, force: bool, as_json: bool, **options: Any
) -> None:
    """Train one configuration of the network and write weights.safetensors; goes on where it stopped."""
    from edgewidth.stages.finetune import finetune  # noqa: PLC0415  help stays instant
    from edgewidth.stages.folder import locked, remove  # noqa: PLC0415
    from edgewidth.stages.search import read_config  # noqa: PLC0415
    from edgewidth.training.inference import top1_percent  # noqa: PLC0415
    from edgewidth.training.recipes import load_recipe  # noqa: PLC0415

    progress = TerminalProgress()
    recipe = load_recipe(options["recipe"])
    with locked(out) as folder:
        if force:
            remove(folder.weights, folder.finetune_log, folder.checkpoints)
        data = images_from(options, progress)
        space = space_from(options, data)
        if supernet is None and folder.supernet.exists():
            supernet = folder.supernet
        network = finetune(
            space,
            read_config(config, space),
            data,
            recipe,
            folder,
            supernet=None if from_scratch else supernet,
            seed=options["seed"],
            progress=progress,
        )
        outcome = {
            "config": str(network.config),
            "top1_percent": top1_percent(network, data.x_val, data.y_val),
            "weights": str(folder.weights),
        }
    if as_json:
        print_json(outcome)
    else:
        click.echo(
            f"{outcome['config']} classifies {outcome['top1_percent']:.2f} % of the validation images correctly."
        )
        click.echo(f"Its weights are {outcome['weights']}")
