"""The final training of the chosen network, and where it must be, the training for int8 after it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from edgewidth.progress import SILENT
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, RECIPE, SEED, START
from edgewidth.streams import Purpose, stream
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import LOSS, Averager, Training, make_batches, run_training
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.loop.processes import ALONE, join
from edgewidth.training.networks.inference import batch_size, fold_tensors, measure_moments, run_folded
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import begin_with
from edgewidth.training.networks.quantised import QuantisedNetwork
from edgewidth.training.networks.weights import digest, load_supernet, save_plain
from edgewidth.training.provenance import final_training

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.data.batches import Batch, Batches
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.tasks.task import Objective
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.recipes import Phase, Recipe

    Teacher = Callable[[Tensor], Tensor]
    """The outputs (n, outputs) of a network for normalised images (n, channels, height, width)."""

MOMENT_IMAGES = 4096
"""On how many training images the final statistics of batch normalisation are computed."""
FINETUNE, INT8 = "finetune", "int8"
"""The names of the checkpoints of final training and of training for int8."""


def finetune_network(
    space: SearchSpace,
    config: ChannelConfig,
    data: ImageData,
    recipe: Recipe,
    *,
    supernet: Path | None,
    weights: Path | None = None,
    weights_out: Path,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration and write its weights; goes on from a checkpoint.

    It starts from the ``supernet``, from a file of other ``weights`` (see ``edgewidth.training.networks.pretrained``),
    or from scratch. Where the recipe distils, the teacher is the maximum network of the supernet; from scratch there is
    none. ``log`` gets a JSON line per epoch, and ``checkpoints`` is a folder, from which they go when training is done.

    Raises:
        InputError: The configuration is not in the space.
        FileError: The supernet or the weights cannot be read, or the weights do not fit.
        MismatchError: The supernet is of another space.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    processes = join()
    device = compute_device()
    phase = recipe.finetune
    teacher: Teacher | None = None
    if supernet is None:
        network = PlainNetwork(space, config, seed=seed)
    else:
        start = load_supernet(supernet, space).to(device)
        network = PlainNetwork.from_supernet(start, config)
        teacher = lambda images: start(images, space.largest)  # noqa: E731 - a short function
    network = network.to(device)
    begun = begin_with(network, weights, progress) or ("scratch" if supernet is None else file_digest(supernet))
    batches = make_batches(data, phase, seed=seed, device=device, processes=processes)
    provenance = final_training(data, recipe, seed=seed, start=begun)
    of_this = provenance.extended(
        {"search space": space.fingerprint}, {"configuration": str(config), "batch": batches.size}
    )
    kept = Checkpoints(checkpoints, FINETUNE, of_this)
    lesson = _Lesson(network, data, phase, seed, teacher, processes)
    lesson.train(batches, "Training the chosen network", checkpoints=kept, log=log, progress=progress)
    finish(network, data, seed=seed)
    processes.on_first(lambda: save_plain(network, weights_out, provenance=provenance))
    processes.on_first(kept.clear)
    return network


def finetune_int8(
    network: PlainNetwork,
    data: ImageData,
    phase: Phase,
    *,
    calibration: NDArray[np.uint8],
    weights_out: Path,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train a finished network on for int8, and write its weights; goes on from a checkpoint.

    ``network`` is left as it is, and the statistics of batch normalisation stay. Where the phase distils, the teacher
    is the network as it was. ``calibration``: images uint8 (n, height, width, channels) that will set the ranges of the
    activations in export. The last checkpoint stays, so that a training that has ended is not done again; the caller
    clears it once the files that are made of the network are stored.

    Raises:
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    device = compute_device()
    before, after = copy.deepcopy(network).to(device), copy.deepcopy(network).to(device)
    quantised = QuantisedNetwork(after).to(device)
    quantised.calibrate(torch.from_numpy(calibration).to(device))
    # float32: rounding to bfloat16 is coarser than what int8 does.
    batches = make_batches(data, phase, seed=seed, device=device, dtype=torch.float32)
    provenance = Provenance(
        inputs={START: digest(network), IMAGES: data.fingerprint},
        options={SEED: seed, RECIPE: repr(phase), "calibration images": len(calibration)},
    )
    kept = Checkpoints(checkpoints, INT8, provenance)
    lesson = _Lesson(quantised, data, phase, seed, _folded(before))
    lesson.train(batches, "Training it for int8", checkpoints=kept, log=log, progress=progress)
    save_plain(after, weights_out, provenance=provenance)
    return after


class _Lesson(NamedTuple):
    """Which network learns what, how long, and from whom."""

    network: nn.Module
    data: ImageData
    phase: Phase
    seed: int
    teacher: Teacher | None
    processes: Processes = ALONE

    def train(self, batches: Batches, title: str, *, checkpoints: Checkpoints, log: Path, progress: Progress) -> None:
        """Train, from a checkpoint if there is one; the network ends with averaged weights if the phase says so."""
        network, phase, task = self.network, self.phase, self.data.task
        epochs = phase.epochs(len(self.data.train))
        steps = epochs * batches.per_epoch
        averager = Averager(network, phase.averaging * steps) if phase.averaging else None
        optimiser = Optimiser(network, phase, batch=batches.size, steps=steps)
        step = _step(network, task.objective(), phase, self.seed, self.teacher)
        training = Training(network, optimiser, batches, epochs, step, task.chance_loss, averager, self.processes)
        run_training(training, checkpoints=checkpoints, log=log, title=title, progress=progress)
        if averager is not None:
            averager.apply()


def _folded(network: PlainNetwork) -> Teacher:
    """A finished network as it computes in float32."""
    weights = fold_tensors(network.weights(), network.moments)
    return lambda images: run_folded(network.space.network, weights, images)


def finish(network: PlainNetwork, data: ImageData, *, seed: int) -> None:
    """Fix the statistics that inference uses, on training images as they are; ``seed`` decides which."""
    device = next(network.parameters()).device
    images = torch.from_numpy(data.sample(MOMENT_IMAGES, stream(seed, Purpose.STATISTICS))).to(device)
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
