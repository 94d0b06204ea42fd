"""``edgewidth train``: the supernet and what every width costs in loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from edgewidth.cli.output import print_document, print_losses
from edgewidth.cli.progress import TerminalProgress

if TYPE_CHECKING:
    from pathlib import Path


@click.command("train")
@data_option
@network_options
@recipe_option
@seed_option
@out_option
@force_option
@json_option
def command(out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Train the supernet, then estimate what every width costs in loss; goes on where it stopped."""
    from edgewidth.stages.folder import locked, remove  # noqa: PLC0415  help stays instant
    from edgewidth.stages.train import train  # noqa: PLC0415
    from edgewidth.training.recipes import load_recipe  # noqa: PLC0415

    progress = TerminalProgress()
    recipe = load_recipe(options["recipe"])
    with locked(out) as folder:
        if force:
            remove(folder.supernet, folder.losses, folder.training_log, folder.checkpoints)
        data = images_from(options, progress)
        losses = train(space_from(options, data), data, recipe, folder, seed=options["seed"], progress=progress)
    if as_json:
        print_document(losses)
    else:
        print_losses(losses, folder.losses)
