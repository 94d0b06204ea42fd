#!/usr/bin/env python3
"""How many search images does a choice need?

    search_images.py RUN --data fashion_mnist.npz

Configurations near the budget of a run are evaluated on its supernet with every image that did not train it. Again and
again some of these images are drawn to choose by, as if they were the search images, and the choice is judged by the
others: its regret is how much more it loses there than the best of the configurations by all images. Were losses
alike for all images, one image would do; were all configurations alike, none would be needed.

The same is asked of images that did train the supernet: where few are kept out, might these choose as well?
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.data.split import load_images
from edgewidth.errors import InputError
from edgewidth.losses.correction import loss_factors
from edgewidth.progress import Lines
from edgewidth.records.budget import Budget
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.table import LatencyTable
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.rivals import TEMPERATURE
from edgewidth.stages.train import budget_focus
from edgewidth.training.evaluation import Evaluator
from edgewidth.training.networks.weights import load_supernet

if TYPE_CHECKING:
    from edgewidth.data.sources import Split
    from edgewidth.search.factors import Array

DRAWS = 4096
REPEATS = 400
SIZES = (100, 200, 500, 1000, 2000, 3000, 5000, 8000)


def main() -> None:
    """Draw, evaluate, choose, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a run folder with losses.json and supernet.safetensors")
    parser.add_argument("--data", required=True)
    parser.add_argument("--table", type=Path, help="default: the run folder's")
    parser.add_argument("--budget", type=float, required=True, help="in milliseconds")
    parser.add_argument("--networks", type=int, default=48)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    folder, rng = RunFolder(options.folder), np.random.default_rng(0)
    table, losses = LatencyTable.read(options.table or folder.table), UnaryLosses.read(folder.losses)
    space = losses.space
    data = load_images(options.data, resolution=space.network.resolution, seed=0)
    if data.fingerprint != losses.data_fingerprint:
        raise InputError(f"{folder.losses} is of other images.")
    focus = budget_focus(table, Budget(latency_ms=options.budget), losses.class_names)
    drawn = focus.field(loss_factors(losses), focus.budgets[0], TEMPERATURE).sample(DRAWS, rng)
    near = np.abs(focus.problem.latency_ms(drawn) / focus.budgets[0] - 1) < 0.05
    configs = list(dict.fromkeys(map(space.config, drawn[near])))[: options.networks]
    supernet = load_supernet(folder.supernet, space)
    evaluators = [Evaluator(supernet, replace(data, search=part)) for part in (data.search, data.holdout, data.test)]
    training = Evaluator(supernet, replace(data, search=_some(data.train, max(SIZES), rng)))
    found, seen = [], []
    with Lines().task("Evaluating configurations", len(configs)) as task:
        for config in configs:
            found.append(np.concatenate([evaluator.losses(config) for evaluator in evaluators]))
            seen.append(training.losses(config))
            task.advance()
    each, trained = np.array(found), np.array(seen)
    means = each.mean(axis=1)
    deviation = float(np.std(each - each.mean(axis=0), axis=1, ddof=1).mean() * np.sqrt(2))
    rows = {size: regret(each, size, rng) for size in SIZES if size < each.shape[1] / 2}
    by_trained = {size: regret_by_trained(trained, each, size, rng) for size in SIZES if size <= trained.shape[1]}
    result = {
        "networks": len(configs),
        "images": each.shape[1],
        "spread_nats": float(means.std(ddof=1)),
        "difference_sd_nats": deviation,
        "regret_nats": rows,
        "regret_by_training_images_nats": by_trained,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{len(configs)} configurations, {each.shape[1]} images")
    print(f"their losses spread by {means.std(ddof=1):.4f} nats (standard deviation)")
    print(f"two of them differ by ± {deviation:.3f} nats from image to image")
    for what, by_size in (("search images", rows), ("images that trained", by_trained)):
        for size, nats in by_size.items():
            print(f"{size:5} {what}: regret {nats:.4f} nats")


def regret(each: Array, size: int, rng: np.random.Generator) -> float:
    """How much more the choice by ``size`` images loses on the others than the best by all does.

    ``each`` has a row for every configuration and a column for every image. The others judge, so that no image flatters
    the choice that it took part in.
    """
    regrets = []
    best = each.mean(axis=1).argmin()
    for _ in range(REPEATS):
        order = rng.permutation(each.shape[1])
        chosen = each[:, order[:size]].mean(axis=1).argmin()
        others = each[:, order[size:]]
        regrets.append(others[chosen].mean() - others[best].mean())
    return float(np.mean(regrets))


def regret_by_trained(trained: Array, each: Array, size: int, rng: np.random.Generator) -> float:
    """How much more the choice by ``size`` images that trained loses on those that did not than the best there does."""
    means, regrets = each.mean(axis=1), []
    for _ in range(REPEATS):
        chosen = trained[:, rng.permutation(trained.shape[1])[:size]].mean(axis=1).argmin()
        regrets.append(means[chosen] - means.min())
    return float(np.mean(regrets))


def _some(split: Split, most: int, rng: np.random.Generator) -> Split:
    """At most so many examples, in random order."""
    chosen = rng.permutation(len(split))[:most]
    return replace(split, images=split.images[chosen], targets=split.targets[chosen])


if __name__ == "__main__":
    main()
