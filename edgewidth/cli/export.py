"""``edgewidth export``: deployable files from trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgewidth.cli.options import (
    data_option,
    force_option,
    images_from,
    json_option,
    max_int8_drop_option,
    out_option,
    recipe_from,
    recipe_options,
    seed_option,
)
from edgewidth.cli.output import print_artifacts, print_document, say_warnings
from edgewidth.cli.progress import TerminalProgress


@click.command("export")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="weights.safetensors of edgewidth finetune.",
)
@click.option("--config", default=None, help="Make sure that the weights are of this configuration (or search.json).")
@data_option
@max_int8_drop_option
@recipe_options
@seed_option
@out_option
@force_option
@json_option
def command(weights: Path, config: str | None, out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Write model_int8 and model_float32 as .tflite and .onnx, and prove what each file computes.

    int8 files take and give int8; the ranges come from training images of --data. Where int8 costs more accuracy than
    --max-int8-drop, the network is trained on with the rounding in place, as long as --recipe says.
    """
    from edgewidth.errors import InputError, MismatchError  # noqa: PLC0415  help stays instant
    from edgewidth.stages.claim import locked  # noqa: PLC0415
    from edgewidth.stages.export import export  # noqa: PLC0415
    from edgewidth.stages.search import read_config  # noqa: PLC0415
    from edgewidth.training.networks.weights import load_plain  # noqa: PLC0415

    progress = TerminalProgress()
    network = load_plain(weights)
    if config is not None and read_config(config, network.space) != network.config:
        raise MismatchError(f"{weights} holds the configuration {network.config}, not {config}.")
    spec = network.space.network
    with locked(out) as folder:
        if folder.artifacts.exists() and not force:
            raise InputError(f"{folder.artifacts} exists.", remedy="Choose another --out, or --force to replace it.")
        data = images_from(options | {"resolution": spec.resolution}, progress)
        if (data.in_channels, len(data.class_names)) != (spec.in_channels, spec.num_classes):
            raise MismatchError(
                f"{weights} takes {spec.in_channels} channels and knows {spec.num_classes} classes; "
                f"the images of {data.source} have {data.in_channels} and {len(data.class_names)}.",
                remedy="Give the --data that it was trained on.",
            )
        artifacts = export(
            network,
            data,
            recipe_from(options),
            folder,
            max_int8_drop_points=options["max_int8_drop_points"],
            seed=options["seed"],
            progress=progress,
        )
    if as_json:
        print_document(artifacts)
    else:
        print_artifacts(artifacts.artifacts, folder)
    say_warnings(artifacts.warnings)
