"""The final training of the chosen network, and where it must be, the training for int8 after it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewidth.progress import SILENT
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.inference import fold_tensors, logits, run_folded
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import begin_with, start_from
from edgewidth.training.networks.quantised import QuantisedNetwork
from edgewidth.training.networks.weights import digest, fingerprint, load_supernet, save_plain, supernet_training
from edgewidth.training.ordinary import Lesson, finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.recipes import Phase, Recipe

    Teacher = Callable[[Tensor], Tensor]
    """The outputs (n, outputs) of a network for normalised images (n, channels, height, width)."""

FINETUNE, INT8 = "finetune", "int8"
"""The names of the checkpoints of final training and of training for int8."""


def finetune(
    space: SearchSpace,
    config: ChannelConfig,
    data: ImageData,
    recipe: Recipe,
    *,
    supernet: Path | None,
    weights: Path | None = None,
    trained: Path | None = None,
    weights_out: Path,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration and write its weights; goes on from a checkpoint.

    Where the recipe distils, the teacher is the maximum network of the supernet; from scratch there is none.

    Args:
        space: The search space.
        config: The chosen widths.
        data: The images.
        recipe: How long, how fast.
        supernet: The weights to start from; None: from scratch.
        weights: A file to start from instead, see ``edgewidth.training.networks.pretrained``.
        trained: The network that the supernet began with. Cut to the chosen widths it is what training starts from
            where it is better on the search images than the supernet's weights.
        weights_out: Where the weights go.
        log: Where a JSON line per epoch goes.
        checkpoints: The folder for checkpoints, which are removed when training is done.
        seed: Of everything random.
        progress: Where to report to.

    Raises:
        InputError: The configuration is not in the space.
        FileError: The supernet or the weights cannot be read, or the weights do not fit.
        MismatchError: The supernet is of another space.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    processes = join()
    device = compute_device()
    phase = recipe.trained.finetune if _is_trained(supernet, weights) else recipe.finetune
    teacher: Teacher | None = None
    if supernet is None:
        network = PlainNetwork(space, config, seed=seed).to(device)
        begun = begin_with(network, weights, progress) or "scratch"
    else:
        start = load_supernet(supernet, space).to(device)
        network = PlainNetwork.from_supernet(start, config).to(device)
        begun = fingerprint(supernet)
        if trained is not None:
            cut = PlainNetwork(space, config).to(device)
            start_from(cut, trained)
            if _loss(cut, data, seed, processes) < _loss(network, data, seed, processes):
                network, begun = cut, fingerprint(trained)
                progress.say(f"The chosen network starts from {trained}, which is better there than the supernet.")
        teacher = lambda images: start(images, space.largest)  # noqa: E731 - a short function
    batches = make_batches(data, phase, seed=seed, device=device, processes=processes)
    identity = {
        "space": space.fingerprint,
        "config": str(config),
        "data": data.fingerprint,
        "recipe": repr(phase),
        "batch": str(batches.size),
        "seed": str(seed),
        "start": begun,
    }
    kept = Checkpoints(checkpoints, FINETUNE, identity)
    lesson = Lesson(network, data, phase, seed, teacher, processes)
    lesson.train(batches, "Training the chosen network", checkpoints=kept, log=log, progress=progress)
    finish(network, data, seed=seed)
    processes.on_first(lambda: save_plain(network, weights_out, start=begun))
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

    The statistics of batch normalisation stay. Where the phase distils, the teacher is the network as it was. The last
    checkpoint stays, so that a training that has ended is not done again; who has stored what is made of it clears it.

    Args:
        network: What final training made; it is left as it is.
        data: The images.
        phase: How long, how fast.
        calibration: Images uint8 (n, height, width, channels) that will set the ranges of the activations in export.
        weights_out: Where the weights go.
        log: Where a JSON line per epoch goes.
        checkpoints: The folder for checkpoints.
        seed: Of everything random.
        progress: Where to report to.

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
    identity = {
        "start": digest(network),
        "data": data.fingerprint,
        "recipe": repr(phase),
        "seed": str(seed),
        "calibration": str(len(calibration)),
    }
    kept = Checkpoints(checkpoints, INT8, identity)
    lesson = Lesson(quantised, data, phase, seed, _folded(before))
    lesson.train(batches, "Training it for int8", checkpoints=kept, log=log, progress=progress)
    save_plain(after, weights_out)
    return after


def _is_trained(supernet: Path | None, weights: Path | None) -> bool:
    """Whether training starts from weights of one's own, or from a supernet that began with them."""
    if supernet is None:
        return weights is not None
    training = supernet_training(supernet)
    return training is not None and bool(training.start)


def _loss(network: PlainNetwork, data: ImageData, seed: int, processes: Processes) -> float:
    """The loss on the search images as it is, with statistics of training images: the same for all processes."""
    finish(network, data, seed=seed)
    outputs, targets = (torch.from_numpy(a) for a in (logits(network, data.search.images), data.search.targets))
    loss = data.task.objective().loss(outputs, targets).double()
    processes.average(loss)
    return float(loss)


def _folded(network: PlainNetwork) -> Teacher:
    """A finished network as it computes in float32."""
    weights = fold_tensors(network.weights(), network.moments)
    return lambda images: run_folded(network.space.network, network.widths, weights, images)
