"""The final training of the chosen network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from edgewidth.progress import SILENT
from edgewidth.training.batches import MIXING, Batch, Batches, stream
from edgewidth.training.checkpoint import Checkpoints
from edgewidth.training.inference import batch_size, measure_moments
from edgewidth.training.layers import compute_device
from edgewidth.training.loop import LOSS, Averager, Training, train
from edgewidth.training.optimise import Optimiser
from edgewidth.training.plain import PlainNetwork
from edgewidth.training.weights import load_supernet, save_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.progress import Progress
    from edgewidth.records.network import ChannelConfig, SearchSpace
    from edgewidth.training.data import ImageData
    from edgewidth.training.recipes import Phase, Recipe
    from edgewidth.training.supernet import Supernet

MOMENT_IMAGES = 4096
"""On how many training images the final statistics of batch normalisation are computed."""


def finetune(
    space: SearchSpace,
    config: ChannelConfig,
    data: ImageData,
    recipe: Recipe,
    *,
    supernet: Path | None,
    weights_out: Path,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration and write its weights; goes on from a checkpoint.

    Args:
        space: The search space.
        config: The chosen widths.
        data: The images.
        recipe: How long, how fast.
        supernet: The weights to start from; None: from scratch.
        weights_out: Where the weights go.
        log: Where a JSON line per epoch goes.
        checkpoints: The folder for checkpoints, which are removed when training is done.
        seed: Of everything random.
        progress: Where to report to.

    Raises:
        InputError: The configuration is not in the space.
        FileError: The supernet cannot be read.
        MismatchError: The supernet is of another space.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    device = compute_device()
    phase = recipe.finetune
    teacher = None if supernet is None else load_supernet(supernet, space).to(device)
    network = PlainNetwork(space, config, seed=seed) if teacher is None else PlainNetwork.from_supernet(teacher, config)
    network = network.to(device)
    batches = Batches(data, batch=phase.batch, augmentation=phase.augmentation, seed=seed, device=device)
    epochs = phase.epochs(len(data.y_train))
    steps = epochs * batches.per_epoch
    averager = Averager(network, phase.averaging * steps) if phase.averaging else None
    training = Training(
        network,
        Optimiser(network, phase, batch=batches.size, steps=steps),
        batches,
        epochs,
        _step(network, phase, seed, teacher if phase.distillation else None),
        averager,
    )
    identity = {
        "space": space.fingerprint,
        "config": str(config),
        "data": data.fingerprint,
        "recipe": repr(phase),
        "seed": str(seed),
        "start": "scratch" if supernet is None else "supernet",
    }
    kept = Checkpoints(checkpoints, "finetune", identity)
    train(
        training,
        checkpoints=kept,
        log=log,
        title="Training the chosen network",
        num_classes=len(data.class_names),
        progress=progress,
    )
    if averager is not None:
        averager.apply()
    finish(network, data)
    save_plain(network, weights_out)
    kept.clear()
    return network


def finish(network: PlainNetwork, data: ImageData) -> None:
    """Fix the statistics that inference uses, on training images as they are."""
    device = next(network.parameters()).device
    images = torch.from_numpy(data.x_train[:MOMENT_IMAGES]).to(device)
    size = batch_size(network.space.network, network.widths)
    network.set_moments(measure_moments(network.forward, images, batch=size))


def _step(
    network: PlainNetwork, phase: Phase, seed: int, teacher: Supernet | None
) -> Callable[[int, Batch], dict[str, Tensor]]:
    def step(index: int, batch: Batch) -> dict[str, Tensor]:
        rng = stream(seed, MIXING, index)
        share = float(rng.beta(phase.augmentation.mixup, phase.augmentation.mixup)) if phase.augmentation.mixup else 1.0
        images, target = _mixed(batch, share, network.space.network.num_classes, phase.label_smoothing)
        if teacher is not None:
            with torch.no_grad():
                soft = torch.softmax(teacher(images, teacher.space.largest), 1)
            target = torch.lerp(target, soft, phase.distillation)
        loss = functional.cross_entropy(network(images), target)
        torch.autograd.backward(loss)
        return {LOSS: loss}

    return step


def _mixed(batch: Batch, share: float, num_classes: int, smoothing: float) -> tuple[Tensor, Tensor]:
    """Images, and the probabilities of their classes (n, classes): each mixed with the one on the other end."""
    target = functional.one_hot(batch.labels, num_classes).to(torch.float32)
    target = target * (1 - smoothing) + smoothing / num_classes
    if share == 1.0:
        return batch.images, target
    return torch.lerp(batch.images.flip(0), batch.images, share), torch.lerp(target.flip(0), target, share)
