"""Training the supernet with the sandwich rule (Yu and Huang 2019, arXiv 1903.05134)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from edgewidth.graph.space import ChannelConfig
from edgewidth.progress import SILENT
from edgewidth.records.provenance import file_digest
from edgewidth.records.training import UNIFORM
from edgewidth.streams import Purpose, stream
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import LOSS, Training, make_batches, run_training
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.loop.processes import ALONE, join, part
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.pretrained import Given, begin_with, copy_weights
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import is_supernet, save_plain, save_supernet
from edgewidth.training.provenance import supernet_training
from edgewidth.training.start import adapted_network, clear_adapted

if TYPE_CHECKING:
    import numpy as np

    from edgewidth.data.batches import Batch
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.tasks.task import Objective
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.recipes import FromTrained, Recipe

SUPERNET = "supernet"
"""The name of the checkpoints."""
RANDOM_CONFIGS = 2
"""Random configurations a step; each sees its part of the batch, so that more of them are met at equal cost.

Several processes draw the same ones, and each trains those whose part of the batch it has: of two processes one each.
So a step is that of one process, however many share it out, but for the images that batch normalisation sees at once.
"""


class ConfigSampler(Protocol):
    """Where the random configurations of a step come from."""

    identity: str
    """Differs where draws differ: a training is not taken up with another sampler."""

    def __call__(self, rng: np.random.Generator, done: float, supernet: Supernet) -> ChannelConfig:
        """A configuration; ``done`` is the share of training that is over, ``supernet`` as it is then."""


@dataclass(frozen=True)
class Sandwich:
    """One step of the sandwich rule: who is trained on which images.

    The maximum configuration learns all images from their targets; the others learn their images from the
    maximum's output. The other ones follow each other over the batch, each with an equal part.
    """

    maximum: ChannelConfig
    others: tuple[ChannelConfig, ...]
    minimum: ChannelConfig | None


def sandwich_step(
    supernet: Supernet, objective: Objective, batch: Batch, sandwich: Sandwich, processes: Processes = ALONE
) -> dict[str, Tensor]:
    """Compute all losses of one step and add their gradients to the supernet's parameters.

    With several processes ``batch`` is this one's share; the mean over them remains to be taken, of gradients and
    losses alike.

    Returns the means over images of ``loss`` (the maximum configuration's), ``excess`` (that of the random
    configurations on the targets, less the maximum's on the same images) and the distillation losses.
    """
    outputs = supernet(batch.images, sandwich.maximum)
    loss = objective.loss(outputs, batch.targets)
    torch.autograd.backward(loss)
    taught = objective.taught(outputs.detach())
    reference = objective.losses(outputs.detach(), batch.targets)
    losses = {LOSS: loss, "random": torch.zeros_like(loss), "excess": torch.zeros_like(loss)}
    for config, images in _parts(sandwich.others, len(outputs), processes):
        answer = supernet(batch.images[images], config)
        # Every configuration counts by its images, so that two halves weigh as one whole.
        weight = (images.stop - images.start) / len(outputs)
        distilled = objective.loss(answer, taught[images]) * weight
        torch.autograd.backward(distilled)
        excess = objective.loss(answer.detach(), batch.targets[images]) - reference[images].mean()
        losses["random"] += distilled.detach()
        losses["excess"] += excess * weight
    if sandwich.minimum is not None:
        least = objective.loss(supernet(batch.images, sandwich.minimum), taught)
        torch.autograd.backward(least)
        losses["minimum"] = least
    return losses


def train_supernet(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    *,
    supernet_out: Path,
    log: Path,
    trained_out: Path,
    trained_log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
    sampler: ConfigSampler | None = None,
    weights: Path | None = None,
) -> None:
    """Train a supernet and write its weights; goes on from a checkpoint.

    The resolution and the outputs of ``space`` are the data's. ``log`` gets a JSON line per epoch, and ``checkpoints``
    is a folder, from which they go when training is done. ``sampler`` draws the random configurations; None: they are
    drawn uniformly. ``weights`` is a file to begin with, see ``edgewidth.training.networks.pretrained``; None: random
    weights. A supernet's are taken as they are. Any other network is first trained as it is, and its channels put in
    order: it goes to ``trained_out``, and a JSON line per epoch of that to ``trained_log``.

    Raises:
        FileError: The weights do not fit.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    processes = join()
    device = compute_device()
    trained = recipe.trained if weights else None
    phase = recipe.phases(trained=bool(weights)).supernet
    supernet = Supernet(space, seed=seed).to(device)
    if trained is None or weights is None or is_supernet(weights):
        start = begin_with(supernet, weights, progress)
    else:
        start = file_digest(weights)
        network = adapted_network(
            space, data, trained, weights, log=trained_log, checkpoints=checkpoints, seed=seed, progress=progress
        )
        processes.on_first(lambda: save_plain(network, trained_out))
        copy_weights(supernet, Given.of(network))
    batches = make_batches(data, phase, seed=seed, device=device, processes=processes)
    objective = data.task.objective()
    steps = phase.epochs(len(data.train)) * batches.per_epoch
    optimiser = Optimiser(supernet, phase, batch=batches.size, steps=steps)

    def step(index: int, batch: Batch) -> dict[str, Tensor]:
        sandwich = _draw(supernet, recipe, trained, seed, index, steps, sampler)
        return sandwich_step(supernet, objective, batch, sandwich, processes)

    drawn_by = sampler.identity if sampler else UNIFORM
    provenance = supernet_training(data, recipe, seed=seed, start=start, sampler=drawn_by)
    of_this = provenance.extended({"search space": space.fingerprint}, {"batch": batches.size})
    kept = Checkpoints(checkpoints, SUPERNET, of_this)
    run_training(
        Training(supernet, optimiser, batches, steps, step, data.task.chance_loss, processes=processes),
        checkpoints=kept,
        log=log,
        title="Training the supernet",
        progress=progress,
    )
    processes.on_first(lambda: save_supernet(supernet, supernet_out, provenance=provenance))
    processes.on_first(kept.clear)
    processes.on_first(lambda: clear_adapted(checkpoints))


def _parts(
    configs: tuple[ChannelConfig, ...], size: int, processes: Processes
) -> Iterator[tuple[ChannelConfig, slice]]:
    """Which configurations this process trains on which of its ``size`` images: all processes' follow each other."""
    begin, whole = processes.index * size, processes.count * size
    for place, config in enumerate(configs):
        own = part(whole, place, len(configs))
        first, last = max(own.start - begin, 0), min(own.stop - begin, size)
        if first < last:
            yield config, slice(first, last)


def _draw(
    supernet: Supernet,
    recipe: Recipe,
    trained: FromTrained | None,
    seed: int,
    step: int,
    steps: int,
    sampler: ConfigSampler | None,
) -> Sandwich:
    space, rng, done = supernet.space, stream(seed, Purpose.WIDTHS, step), step / steps
    drawn = tuple(
        sampler(rng, done, supernet) if sampler else _sample(space, rng, trained, done) for _ in range(RANDOM_CONFIGS)
    )
    minimum = space.smallest if trained is None and step % recipe.minimum_every == 0 else None
    return Sandwich(space.largest, drawn, minimum)


def _sample(space: SearchSpace, rng: np.random.Generator, trained: FromTrained | None, done: float) -> ChannelConfig:
    """A configuration drawn uniformly; at the beginning, from trained weights, of wide ones."""
    if trained is None or done >= trained.widened_at:
        return space.sample(rng)
    wide = ([c for c in v.choices if c >= trained.first_share * v.base] or v.choices[-1:] for v in space.variables)
    return ChannelConfig(int(rng.choice(choices)) for choices in wide)
