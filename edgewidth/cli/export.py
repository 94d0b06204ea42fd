"""``edgewidth export``: deployable files from trained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from edgewidth.cli import options as shared
from edgewidth.cli.output import print_artifacts, print_result, say_warnings
from edgewidth.cli.progress import TerminalProgress
from edgewidth.cli.record import option, verb
from edgewidth.cli.values import OneOf
from edgewidth.records.measurement import Precision


@dataclass(frozen=True)
class Options:
    """What ``edgewidth export`` takes."""

    weights: Annotated[
        Path,
        option(
            "--weights",
            type=click.Path(path_type=Path, dir_okay=False),
            required=True,
            help="weights.safetensors of edgewidth finetune.",
        ),
    ]
    config: Annotated[
        str | None, option("--config", help="Make sure that the weights are of this configuration (or search.json).")
    ]
    examples: shared.DataOptions
    max_int8_drop_points: shared.MaxInt8DropOption
    precision: Annotated[
        Precision,
        option(
            "--precision", type=OneOf(Precision), default="int8", help="What there shall be files of beside float32."
        ),
    ]
    training: shared.RecipeOptions
    seed: shared.SeedOption
    out: shared.OutOption
    force: shared.ForceOption
    as_json: shared.JsonOption


@verb("export", Options)
def command(options: Options) -> None:
    """Write model_int8, model_float32 and that of --precision as .tflite and .onnx, and prove what each file computes.

    int8 files take and give int8; the ranges come from training images of --data. Where int8 costs more accuracy than
    --max-int8-drop, the network is trained on with the rounding in place, as long as --recipe says.
    """
    from edgewidth.data.split import load_images  # noqa: PLC0415  help stays instant
    from edgewidth.errors import MismatchError  # noqa: PLC0415
    from edgewidth.stages.face import export  # noqa: PLC0415
    from edgewidth.stages.folder import RunFolder  # noqa: PLC0415
    from edgewidth.stages.search import read_config  # noqa: PLC0415
    from edgewidth.training.networks.weights import load_plain  # noqa: PLC0415

    network = load_plain(options.weights)
    if options.config is not None and read_config(options.config, network.space) != network.config:
        raise MismatchError(
            f"{options.weights} holds the configuration {network.config}, not {options.config}.",
            remedy="Leave --config out, or give the weights of that configuration.",
        )
    examples, progress = options.examples, TerminalProgress()
    artifacts = export(
        options.weights,
        load_images(
            examples.data,
            resolution=network.space.network.resolution,
            seed=options.seed,
            skip_bad=examples.skip_bad,
            progress=progress,
        ),
        options.out,
        recipe=options.training.load(),
        max_int8_drop_points=options.max_int8_drop_points,
        precision=options.precision,
        seed=options.seed,
        force=options.force,
        progress=progress,
    )
    print_result(
        artifacts, as_json=options.as_json, text=lambda: print_artifacts(artifacts.artifacts, RunFolder(options.out))
    )
    say_warnings(artifacts.warnings)
