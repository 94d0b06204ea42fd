"""``edgewidth finetune``: train the chosen network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgewidth.cli.options import (
    FILE,
    data_option,
    force_option,
    images_from,
    json_option,
    network_options,
    out_option,
    recipe_from,
    recipe_options,
    seed_option,
    space_from,
    weights_option,
)
from edgewidth.cli.output import print_json
from edgewidth.cli.together import meet
from edgewidth.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("finetune")
@click.option(
    "--config", required=True, help="A channel configuration such as 16-32-…, or the search.json that chose one."
)
@click.option(
    "--supernet",
    type=FILE,
    default=None,
    help="Start from this supernet.  [default: supernet.safetensors in --out, if it is there]",
)
@click.option("--from-scratch", is_flag=True, help="Start from random weights even so.")
@weights_option
@data_option
@network_options
@recipe_options
@seed_option
@out_option
@force_option
@json_option
def command(
    config: str, supernet: Path | None, from_scratch: bool, out: Path, force: bool, as_json: bool, **options: Any
) -> None:
    """Train one configuration of the network and write weights.safetensors; goes on where it stopped.

    With several GPUs or machines: torchrun --nproc-per-node N -m edgewidth finetune …
    """
    from edgewidth.stages.claim import locked_by_first  # noqa: PLC0415
    from edgewidth.stages.finetune import finetune  # noqa: PLC0415  help stays instant
    from edgewidth.stages.search import read_config  # noqa: PLC0415
    from edgewidth.training.networks.inference import top1_percent  # noqa: PLC0415

    processes, progress = meet()
    weights = options["weights"]
    if (supernet is not None) + from_scratch + (weights is not None) > 1:
        raise InputError("--supernet, --weights and --from-scratch are different starts.", remedy="Give one of them.")
    recipe = recipe_from(options)
    with locked_by_first(out, processes) as folder:
        if folder.weights.exists() and not force:
            raise InputError(f"{folder.weights} exists.", remedy="Choose another --out, or --force to train again.")
        data = images_from(options, progress, searched=False)
        space = space_from(options, data)
        chosen = read_config(config, space)
        if not (supernet or weights or from_scratch) and folder.supernet.exists():
            supernet = folder.supernet
        network = finetune(
            space,
            chosen,
            data,
            recipe,
            folder,
            supernet=supernet,
            weights=weights,
            seed=options["seed"],
            force=force,
            progress=progress,
        )
        if not processes.is_first:
            return
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
