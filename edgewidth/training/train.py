"""Training the supernet with the sandwich rule (Yu and Huang 2019, arXiv 1903.05134)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from edgewidth.progress import SILENT
from edgewidth.training.batches import WIDTHS, Batch, Batches, stream
from edgewidth.training.checkpoint import Checkpoints
from edgewidth.training.layers import compute_device
from edgewidth.training.loop import LOSS, Training, train
from edgewidth.training.optimise import Optimiser
from edgewidth.training.pretrained import begin_with
from edgewidth.training.supernet import Supernet
from edgewidth.training.weights import save_supernet

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from edgewidth.progress import Progress
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.network import ChannelConfig, SearchSpace
    from edgewidth.training.data import ImageData
    from edgewidth.training.recipes import Recipe

RANDOM_CONFIGS = 2
"""Random configurations a step; each sees its share of the batch, so that more of them are met at equal cost."""


class ConfigSampler(Protocol):
    """Where the random configurations of a step come from."""

    identity: str
    """Differs where draws differ: a training is not taken up with another sampler."""

    def __call__(self, rng: np.random.Generator, done: float, supernet: Supernet) -> ChannelConfig:
        """A configuration; ``done`` is the share of training that is over, ``supernet`` as it is then."""


@dataclass(frozen=True)
class Sandwich:
    """One step of the sandwich rule: who is trained on which images.

    The maximum configuration learns all images from their labels; the others learn their images from the
    maximum's output.
    """

    maximum: ChannelConfig
    others: tuple[ChannelConfig, ...]
    minimum: ChannelConfig | None


def sandwich_step(supernet: Supernet, batch: Batch, sandwich: Sandwich) -> dict[str, Tensor]:
    """Compute all losses of one step and add their gradients to the supernet's parameters.

    Returns the means over images of ``loss`` (the maximum configuration's), ``excess`` (that of the random
    configurations on the labels, less the maximum's on the same images) and the distillation losses.
    """
    logits = supernet(batch.images, sandwich.maximum)
    loss = functional.cross_entropy(logits, batch.labels)
    torch.autograd.backward(loss)
    target = torch.softmax(logits.detach(), 1)
    reference = functional.cross_entropy(logits.detach(), batch.labels, reduction="none")
    losses = {LOSS: loss}
    shares = torch.arange(len(batch.labels), device=target.device).chunk(len(sandwich.others))
    for config, share in zip(sandwich.others, shares, strict=True):
        part = slice(int(share[0]), int(share[-1]) + 1)
        answer = supernet(batch.images[part], config)
        distilled = functional.cross_entropy(answer, target[part])
        # Every configuration counts by its images, so that two halves weigh as one whole.
        torch.autograd.backward(distilled * (len(share) / len(target)))
        excess = functional.cross_entropy(answer.detach(), batch.labels[part]) - reference[part].mean()
        losses["random"] = losses.get("random", 0) + distilled.detach() / len(sandwich.others)
        losses["excess"] = losses.get("excess", 0) + excess / len(sandwich.others)
    if sandwich.minimum is not None:
        least = functional.cross_entropy(supernet(batch.images, sandwich.minimum), target)
        torch.autograd.backward(least)
        losses["minimum"] = least
    return losses


def train_supernet(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    *,
    folder: RunFolder,
    seed: int,
    progress: Progress = SILENT,
    sampler: ConfigSampler | None = None,
    weights: Path | None = None,
) -> None:
    """Train a supernet and write ``supernet.safetensors`` and ``training.jsonl``; goes on from a checkpoint.

    Args:
        space: What the supernet contains; its resolution and classes are the data's.
        data: The images.
        recipe: How long, how fast.
        folder: Where the files go; checkpoints are kept there until training is done.
        seed: Of the weights and everything random.
        progress: Where to report to.
        sampler: Draws the random configurations; uniformly if None.
        weights: A safetensors file to begin with, see ``edgewidth.training.pretrained``; None: random weights.

    Raises:
        FileError: The weights do not fit.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    device = compute_device()
    phase = recipe.supernet
    supernet = Supernet(space, seed=seed).to(device)
    start = begin_with(supernet, weights, progress)
    batches = Batches(data, batch=phase.batch, augmentation=phase.augmentation, seed=seed, device=device)
    epochs = phase.epochs(len(data.y_train))
    steps = epochs * batches.per_epoch
    optimiser = Optimiser(supernet, phase, batch=batches.size, steps=steps)

    def step(index: int, batch: Batch) -> dict[str, Tensor]:
        return sandwich_step(supernet, batch, _draw(supernet, recipe, seed, index, steps, sampler))

    identity = {
        "space": space.fingerprint,
        "data": data.fingerprint,
        "recipe": repr((phase, recipe.minimum_every)),
        "seed": str(seed),
        "sampler": sampler.identity if sampler else "uniform",
        "start": start,
    }
    checkpoints = Checkpoints(folder.checkpoints, "supernet", identity)
    train(
        Training(supernet, optimiser, batches, epochs, step),
        checkpoints=checkpoints,
        log=folder.training_log,
        title="Training the supernet",
        num_classes=len(data.class_names),
        progress=progress,
    )
    save_supernet(supernet, folder.supernet, start=start)
    checkpoints.clear()


def _draw(
    supernet: Supernet, recipe: Recipe, seed: int, step: int, steps: int, sampler: ConfigSampler | None
) -> Sandwich:
    space, rng = supernet.space, stream(seed, WIDTHS, step)
    drawn = [sampler(rng, step / steps, supernet) if sampler else space.sample(rng) for _ in range(RANDOM_CONFIGS)]
    minimum = space.smallest if step % recipe.minimum_every == 0 else None
    return Sandwich(space.largest, tuple(drawn), minimum)
