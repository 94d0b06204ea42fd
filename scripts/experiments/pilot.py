"""How long final networks have to be trained, and how their accuracy scatters: what a protocol is planned by."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from protocol import Final

from edgewidth.cli.progress import TerminalProgress
from edgewidth.documents import Document
from edgewidth.stages.finetune import finetune
from edgewidth.stages.folder import RunFolder
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.weights import load_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol import Experiment

    from edgewidth.data.sources import Split
    from edgewidth.tasks.task import Task
    from edgewidth.training.networks.plain import PlainNetwork


class Seen(Document):
    """What one network scores on all images that nothing trained on: those of searching, judging and testing."""

    schema_name: ClassVar[str] = "edgewidth/equal-latency-pilot"

    passes: int
    seed: int
    top1_percent: float
    loss: float


def tell_pilot(experiment: Experiment, share: float, passes: Sequence[int], seeds: int) -> None:
    """Train the uniform network of a budget from the first supernet, and print what came out."""
    by_passes = [_seen(experiment, share, number, 0) for number in passes]
    for seen in by_passes:
        print(f"{seen.passes:3} passes: {seen.top1_percent:.2f} %, {seen.loss:.4f} nats", flush=True)
    by_seed = [_seen(experiment, share, passes[0], seed) for seed in range(seeds)]
    top1 = np.array([seen.top1_percent for seen in by_seed])
    errors, losses = 100 - top1, np.array([seen.loss for seen in by_seed])
    print(f"{seeds} seeds, {passes[0]} passes: {top1.mean():.2f} ± {top1.std(ddof=1):.2f} % (standard deviation)")
    print(f"errors scatter by {100 * errors.std(ddof=1) / errors.mean():.2f} % of themselves, ", end="")
    print(f"losses by {losses.std(ddof=1):.4f} nats")


def _seen(experiment: Experiment, share: float, passes: int, seed: int) -> Seen:
    folder = RunFolder(experiment.folder / "pilot" / f"{share:g}-{passes}-{seed}")
    path = folder.path / "seen.json"
    if path.exists():
        return Seen.read(path)
    data, config = experiment.data, experiment.uniform(share).config
    supernet = experiment.supernet(Final("uniform", share, 0, seed)).supernet
    recipe, progress = experiment.recipe(passes), TerminalProgress()
    finetune(experiment.space, config, data, recipe, folder, supernet=supernet, seed=seed, progress=progress)
    top1_percent, loss = scored(load_plain(folder.weights), data.task, (data.search, data.holdout, data.test))
    seen = Seen(passes=passes, seed=seed, top1_percent=top1_percent, loss=loss)
    seen.write(path)
    return seen


def scored(network: PlainNetwork, task: Task, splits: Sequence[Split]) -> tuple[float, float]:
    """Of how many of some images a network is right, in percent, and what it loses on them, in nats."""
    outputs = np.concatenate([network_outputs(network, split.images) for split in splits])
    targets = np.concatenate([split.targets for split in splits])
    loss = task.objective().loss(torch.from_numpy(outputs), torch.from_numpy(targets))
    return task.score(outputs, targets), float(loss)
