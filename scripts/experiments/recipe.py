#!/usr/bin/env python3
"""What a value of a recipe is worth: one network is trained with it.

    recipe.py --data cifar10.npz --set weight_decay=5e-4 --set passes=9

A network, uniform unless its widths are given, is trained as a run trains the network that it chose, with other values
of ``Phase``: from random weights, or from those of ``--supernet``. It is judged by the images that were kept out of
training; the test images, which results are told by, are not looked at.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pilot import scored

from edgewidth.data.split import load_images
from edgewidth.errors import InputError
from edgewidth.graph.space import ChannelConfig
from edgewidth.progress import Lines
from edgewidth.stages.face import space_for
from edgewidth.stages.finetune import finetune
from edgewidth.stages.folder import RunFolder
from edgewidth.training.networks.weights import load_supernet
from edgewidth.training.recipes import RECIPES, Phase


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", choices=RECIPES, default="standard")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a number of Phase")
    parser.add_argument("--width", type=float, default=0.5, help="multiplier of MobileNet-v1's widths")
    parser.add_argument("--config", type=ChannelConfig.parse, help="the widths themselves, such as 16-24-48")
    parser.add_argument("--supernet", type=Path, help="a supernet.safetensors of these images to begin with")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = load_images(options.data, resolution=None, seed=0)
    space = load_supernet(options.supernet).space if options.supernet else space_for(data)
    recipe = RECIPES[options.recipe]
    phase = changed(recipe.finetune, options.set)
    recipe = replace(recipe, name=f"{recipe.name} {' '.join(options.set)}", finetune=phase)
    config, begun = options.config or space.uniform(options.width), time.process_time()
    with TemporaryDirectory() as folder:
        network = finetune(
            space,
            config,
            data,
            recipe,
            RunFolder(Path(folder)),
            supernet=options.supernet,
            seed=options.seed,
            progress=Lines(),
        )
    passes, seconds = phase.epochs(len(data.train)), time.process_time() - begun
    top1_percent, loss = scored(network, data.task, (data.search, data.holdout))
    print(f"{config}: {passes} passes over {len(data.train):,} images, {seconds:.0f} s of a processor")
    print(f"{len(data.search) + len(data.holdout):,} others: {top1_percent:.2f} %, {loss:.4f} nats")


def changed(phase: Phase, texts: list[str]) -> Phase:
    """A phase with other numbers, each given as ``name=value``.

    Raises:
        InputError: It has no such number.
    """
    kinds = {field.name: type(getattr(phase, field.name)) for field in fields(Phase) if field.name != "augmentation"}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise InputError(f"A phase has no number {name!r}.", remedy=f"It has {', '.join(kinds)}.")
        try:
            phase = replace(phase, **{name: kinds[name](value)})
        except ValueError as error:
            raise InputError(f"{text}: {name} is a number like {getattr(phase, name)}.") from error
    return phase


if __name__ == "__main__":
    main()
