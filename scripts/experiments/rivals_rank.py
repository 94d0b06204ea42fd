#!/usr/bin/env python3
"""How well losses rank networks that were trained and that no correction has seen.

Of a run folder whose losses have learned from rivals: draws configurations near the budget, good ones more often, none
of which was a rival; trains each from the supernet on one schedule of ``--steps``; and holds the supernet's losses and
the corrected ones against what they score on the holdout images. Started again it goes on.

networks              that were trained
steps                 of the schedule
spread                standard deviation of what they score, in nats
supernet_spearman     rank correlation of the supernet's losses with theirs
corrected_spearman    of the corrected ones
best_kept             whether the best of them is the corrected losses' first, second or third
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from edgewidth.data.split import load_images
from edgewidth.errors import InputError
from edgewidth.losses.correction import loss_factors
from edgewidth.losses.record import predicted_excess, spearman
from edgewidth.progress import Lines
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.table import LatencyTable
from edgewidth.records.weights_file import begun_with
from edgewidth.search.factors import total
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.rivals import TEMPERATURE
from edgewidth.stages.train import budget_focus
from edgewidth.training.recipes import RECIPES, load_recipe
from edgewidth.training.rivals import RivalTraining

DRAWS = 4096


def main() -> None:
    """Draw, train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a run folder with table.json, losses.json and supernet.safetensors")
    parser.add_argument("--table", type=Path, help="default: the run folder's")
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", choices=list(RECIPES), default="standard")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--steps", type=int, help="of the schedule; default: the rivals'")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn; images are split by 0, as in the run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    folder = RunFolder(options.folder)
    table, losses = LatencyTable.read(options.table or folder.table), UnaryLosses.read(folder.losses)
    if not (rivals := losses.rivals):
        raise InputError(f"{folder.losses} has learned from no rivals.")
    space, height_width = losses.space, losses.space.network.resolution
    data = load_images(options.data, resolution=height_width, seed=0)
    focus = budget_focus(table, rivals.budget, losses.class_names)
    field = focus.field(loss_factors(losses), focus.budgets[0], TEMPERATURE)
    drawn = field.sample(DRAWS, np.random.default_rng(options.seed))
    near = np.abs(focus.problem.latency_ms(drawn) / focus.budgets[0] - 1) < 0.05
    known = {one.config for one in rivals.rivals}
    configs = [one for one in dict.fromkeys(map(space.config, drawn[near])) if one not in known][: options.networks]
    steps = options.steps or rivals.rungs[-1]
    phase = load_recipe(options.recipe).phases(trained=bool(begun_with(folder.supernet))).finetune
    training = RivalTraining(
        space,
        data,
        phase,
        rungs=[steps],
        supernet=folder.supernet,
        trained=folder.trained if folder.trained.exists() else None,
        kept=folder.checkpoints / "rank.jsonl",
        checkpoints=folder.checkpoints,
        provenance=Provenance(inputs={"supernet": file_digest(folder.supernet)}, options={"steps": steps}),
        seed=0,
    )
    with Lines().task("Training networks", len(configs) * steps) as task:
        training.race(configs, task)
    scores = np.array([training.scores.loss(config, 0) for config in configs])
    indices = np.array([space.indices(config) for config in configs])
    corrected = total(loss_factors(losses), indices)
    result = {
        "networks": len(configs),
        "steps": steps,
        "spread": float(np.std(scores, ddof=1)),
        "supernet_spearman": spearman(predicted_excess(losses, configs), scores),
        "corrected_spearman": spearman(corrected, scores),
        "best_kept": bool(int(scores.argmin()) in np.argsort(corrected)[:3]),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
