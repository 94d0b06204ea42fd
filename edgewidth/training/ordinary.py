"""Ordinary training: one network learns from targets, and from a teacher where there is one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from edgewidth.streams import Purpose, stream
from edgewidth.training.loop.loop import LOSS, Averager, Training, run_training
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.loop.processes import ALONE
from edgewidth.training.networks.inference import batch_size, measure_moments
from edgewidth.training.networks.normalisation import settle_normalisation

if TYPE_CHECKING:
    from edgewidth.data.batches import Batch, Batches
    from edgewidth.data.split import ImageData
    from edgewidth.progress import Progress
    from edgewidth.tasks.task import Objective
    from edgewidth.training.loop.checkpoint import Checkpoints
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.recipes import Phase

    Teacher = Callable[[Tensor], Tensor]
    """The outputs (n, outputs) of a network for normalised images (n, channels, height, width)."""

MOMENT_IMAGES = 4096
"""On how many training images the final statistics of batch normalisation are computed."""


class Part(NamedTuple):
    """A schedule of so many steps, and how many of them are made; None: all."""

    steps: int
    until: int | None


class Lesson(NamedTuple):
    """Which network learns what, how long, and from whom."""

    network: nn.Module
    data: ImageData
    phase: Phase
    seed: int
    teacher: Teacher | None
    processes: Processes = ALONE

    def train(
        self,
        batches: Batches,
        title: str,
        *,
        checkpoints: Checkpoints,
        log: Path | None,
        progress: Progress,
        part: Part | None = None,
    ) -> None:
        """Train, from a checkpoint if there is one; the network ends with averaged weights if the phase says so.

        ``part``: how much shorter than the phase, and how far; None: all of it.
        """
        network, phase, task = self.network, self.phase, self.data.task
        steps, until = part or Part(phase.epochs(len(self.data.train)) * batches.per_epoch, None)
        averager = Averager(network, phase.averaging * steps) if phase.averaging else None
        optimiser = Optimiser(network, phase, batch=batches.size, steps=steps)
        step = _step(network, task.objective(), phase, self.seed, self.teacher)
        training = Training(network, optimiser, batches, steps, step, task.chance_loss, averager, self.processes)
        run_training(training, checkpoints=checkpoints, log=log, title=title, progress=progress, until=until)
        if averager is not None:
            averager.apply()


def settle(network: PlainNetwork, folded: Collection[str], data: ImageData, *, seed: int) -> None:
    """Let training begin with what the network computes, though batch normalisation was put into these layers.

    It gets the statistics of training images, as many as fit into memory at once; ``seed`` decides which.
    """
    if folded:
        device = next(network.parameters()).device
        most = batch_size(network.space.network, network.widths)
        images = torch.from_numpy(data.sample(most, stream(seed, Purpose.STATISTICS)))
        settle_normalisation(network, folded, images.to(device))


def finish(network: PlainNetwork, data: ImageData, *, seed: int, most: int = MOMENT_IMAGES) -> None:
    """Fix the statistics that inference uses, on ``most`` training images as they are; ``seed`` decides which."""
    device = next(network.parameters()).device
    images = torch.from_numpy(data.sample(most, stream(seed, Purpose.STATISTICS))).to(device)
    size = batch_size(network.space.network, network.widths)
    network.set_moments(measure_moments(network.forward, images, batch=size))


def _step(
    network: nn.Module, objective: Objective, phase: Phase, seed: int, teacher: Teacher | None
) -> Callable[[int, Batch], dict[str, Tensor]]:
    mixup = phase.augmentation.mixup

    def step(index: int, batch: Batch) -> dict[str, Tensor]:
        target = objective.target(batch.targets, smoothing=phase.label_smoothing)
        images = batch.images
        if mixup:
            share = float(stream(seed, Purpose.MIXING, index).beta(mixup, mixup))
            images, target = _mixed(objective, images, target, share)
        if teacher is not None and phase.distillation:
            with torch.no_grad():
                target = objective.blended(target, objective.taught(teacher(images)), phase.distillation)
        loss = objective.loss(network(images), target)
        torch.autograd.backward(loss)
        return {LOSS: loss}

    return step


def _mixed(objective: Objective, images: Tensor, target: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Images and their target, each mixed with the one at the other end of the batch; ``share`` is its own."""
    return torch.lerp(images.flip(0), images, share), objective.blended(target.flip(0), target, share)
