"""``edgewidth finetune``: train the chosen network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from edgewidth.cli import options as shared
from edgewidth.cli.output import print_json
from edgewidth.cli.progress import meet
from edgewidth.cli.record import option, verb
from edgewidth.cli.terminal import echo
from edgewidth.cli.values import FILE
from edgewidth.errors import InputError


@dataclass(frozen=True)
class Options:
    """What ``edgewidth finetune`` takes.

    Raises:
        InputError: It is told to start from several things at once.
    """

    config: Annotated[
        str,
        option(
            "--config",
            required=True,
            help="A channel configuration such as 16-32-…, or the search.json that chose one.",
        ),
    ]
    supernet: Annotated[
        Path | None,
        option(
            "--supernet",
            type=FILE,
            help="Start from this supernet.  [default: supernet.safetensors in --out, if it is there]",
        ),
    ]
    from_scratch: Annotated[bool, option("--from-scratch", is_flag=True, help="Start from random weights even so.")]
    weights: shared.WeightsOption
    examples: shared.DataOptions
    network: shared.NetworkOptions
    training: shared.RecipeOptions
    seed: shared.SeedOption
    out: shared.OutOption
    force: shared.ForceOption
    as_json: shared.JsonOption

    def __post_init__(self) -> None:
        if (self.supernet is not None) + self.from_scratch + (self.weights is not None) > 1:
            raise InputError(
                "--supernet, --weights and --from-scratch are different starts.", remedy="Give one of them."
            )


@verb("finetune", Options)
def command(options: Options) -> None:
    """Train one configuration of the network and write weights.safetensors; goes on where it stopped.

    With several GPUs or machines: torchrun --nproc-per-node N -m edgewidth finetune …
    """
    from edgewidth.stages.claim import locked_by_first  # noqa: PLC0415
    from edgewidth.stages.finetune import finetune  # noqa: PLC0415  help stays instant
    from edgewidth.stages.ledger import FINETUNE, refuse_existing  # noqa: PLC0415
    from edgewidth.stages.search import read_config  # noqa: PLC0415
    from edgewidth.training.networks.inference import network_outputs  # noqa: PLC0415

    processes, progress = meet()
    recipe = options.training.load()
    with locked_by_first(options.out, processes) as folder:
        refuse_existing(folder, FINETUNE, force=options.force)
        data = options.network.images(options.examples, seed=options.seed, progress=progress, searched=False)
        space = options.network.space(data, progress, searched=False)
        chosen = read_config(options.config, space)
        supernet = options.supernet
        if not (supernet or options.weights or options.from_scratch) and folder.supernet.exists():
            supernet = folder.supernet
        network = finetune(
            space,
            chosen,
            data,
            recipe,
            folder,
            supernet=supernet,
            weights=options.weights,
            seed=options.seed,
            force=options.force,
            progress=progress,
        )
        if not processes.is_first:
            return
        score = data.task.score(network_outputs(network, data.test.images), data.test.targets)
        outcome = {
            "config": str(network.config),
            "metric": data.task.metric,
            "accuracy_percent": score,
            "weights": str(folder.weights),
        }
    if options.as_json:
        print_json(outcome)
    else:
        echo(f"{outcome['config']} {data.task.result(score)}.")
        echo(f"Its weights are {outcome['weights']}")
