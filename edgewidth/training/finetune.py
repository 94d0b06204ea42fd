"""The final training of the chosen network, and where it must be, the training for int8 after it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from edgewidth.progress import SILENT
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, RECIPE, SEED, START
from edgewidth.records.weights_file import begun_with
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.inference import (
    FoldedTensors,
    fold_tensors,
    moments_of,
    network_outputs,
    run_folded,
)
from edgewidth.training.networks.layers import compute_device, training_dtype
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import copy_weights, read_given, start_from, tell_start
from edgewidth.training.networks.quantised import QuantisedNetwork
from edgewidth.training.networks.weights import digest, load_supernet, save_plain
from edgewidth.training.ordinary import MOMENT_IMAGES, Lesson, finish, settle
from edgewidth.training.provenance import final_training

if TYPE_CHECKING:
    from edgewidth.data.batches import Batches
    from edgewidth.data.pixels import Inputs
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.networks.supernet import Supernet
    from edgewidth.training.recipes import Phase, Recipe

    Teacher = Callable[[Tensor], Tensor]
    """The outputs (n, outputs) of a network for normalised images (n, channels, height, width)."""

FINETUNE, INT8 = "finetune", "int8"
"""The names of the checkpoints of final training and of training for int8."""
TEACHER_IMAGES = 1024
"""On how many training images the statistics of the teacher are computed."""


def finetune_network(
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

    It starts from the ``supernet``, from a file of other ``weights`` (see ``edgewidth.training.networks.pretrained``),
    or from scratch. ``trained`` is the network that the supernet began with: cut to the chosen widths, training starts
    from it where it is better on the search images than the supernet's weights. Where the recipe distils, the teacher
    is the maximum network of the supernet; from scratch there is none. ``log`` gets a JSON line per epoch, and
    ``checkpoints`` is a folder, from which they go when training is done.

    Raises:
        InputError: The configuration is not in the space.
        FileError: The supernet or the weights cannot be read, or the weights do not fit.
        MismatchError: The supernet is of another space.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    processes = join()
    phase = recipe.phases(trained=bool(begun_with(supernet, None if supernet else weights))).finetune
    network, begun, start = begin(
        space, config, data, supernet=supernet, weights=weights, trained=trained, seed=seed, progress=progress
    )
    device = compute_device()
    batches = make_batches(data, phase, seed=seed, device=device, processes=processes)
    provenance = final_training(data, phase, seed=seed, start=begun)
    of_this = provenance.extended(
        {"search space": space.fingerprint}, {"configuration": str(config), "batch": batches.size}
    )
    kept = Checkpoints(checkpoints, FINETUNE, of_this)
    teacher = largest_as_teacher(start, batches) if start and phase.distillation else None
    lesson = Lesson(network, data, phase, seed, teacher, processes)
    lesson.train(batches, "Training the chosen network", checkpoints=kept, log=log, progress=progress)
    finish(network, data, seed=seed)
    processes.on_first(lambda: save_plain(network, weights_out, provenance=provenance))
    processes.on_first(kept.clear)
    return network


class Beginning(NamedTuple):
    """A network before its final training."""

    network: PlainNetwork
    begun: str
    """The digest of the file that its weights are from; ``scratch``: they are random."""
    supernet: Supernet | None
    """Whose largest network may teach it; None: there is no supernet."""


def begin(
    space: SearchSpace,
    config: ChannelConfig,
    data: ImageData,
    *,
    supernet: Path | None,
    weights: Path | None = None,
    trained: Path | None = None,
    seed: int,
    moment_images: int = MOMENT_IMAGES,
    progress: Progress = SILENT,
) -> Beginning:
    """A configuration with the weights that its final training begins with; see ``finetune_network``.

    ``moment_images``: on how many training images statistics are computed where two beginnings are compared.
    """
    processes, device = join(), compute_device()
    if supernet is None:
        network = PlainNetwork(space, config, seed=seed).to(device)
        if weights is None:
            return Beginning(network, "scratch", None)
        read = read_given(network, weights)
        copy_weights(network, read)
        tell_start(weights, list(read.fresh), progress)
        settle(network, read.folded, data, seed=seed)
        return Beginning(network, file_digest(weights), None)
    start = load_supernet(supernet, space).to(device)
    network, begun = PlainNetwork.from_supernet(start, config).to(device), file_digest(supernet)
    if trained is not None:
        cut = PlainNetwork(space, config).to(device)
        start_from(cut, trained)
        given, own = (_loss(one, data, seed, moment_images, processes) for one in (cut, network))
        if given < own:
            network, begun = cut, file_digest(trained)
            progress.say(f"The chosen network starts from {trained}, which is better there than the supernet.")
    return Beginning(network, begun, start)


def largest_as_teacher(supernet: Supernet, batches: Batches) -> Teacher:
    """The largest network of a supernet as a teacher, in what networks are trained in.

    Batch normalisation is folded into it with the statistics of some ``batches``, varied as those are that it will see.
    With the statistics of every batch at hand it takes longer (``scripts/bench/steps.py``), and what it says of an
    image depends on the others.
    """
    space, dtype = supernet.space, training_dtype(compute_device())
    some = range(min(batches.per_epoch, -(-TEACHER_IMAGES // batches.size)))
    moments = moments_of(lambda x, found: supernet(x, space.largest, found), (batches[step].images for step in some))
    with torch.no_grad():
        folded = fold_tensors(supernet.weights(space.largest), moments)
    weights = {name: FoldedTensors(one.kernel.to(dtype), one.bias.to(dtype)) for name, one in folded.items()}
    return lambda images: run_folded(space.network, space.widths(space.largest), weights, images)


def finetune_int8(
    network: PlainNetwork,
    data: ImageData,
    phase: Phase,
    *,
    calibration: Inputs,
    weights_out: Path,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train a finished network on for int8, and write its weights; goes on from a checkpoint.

    ``network`` is left as it is, and the statistics of batch normalisation stay. Where the phase distils, the teacher
    is the network as it was. ``calibration``: images or features (n, height, width, channels) that will set the
    ranges of the activations in export. The last checkpoint stays, so that a training that has ended is not done again;
    the caller clears it once the files that are made of the network are stored.

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
    lesson = Lesson(quantised, data, phase, seed, _folded(before))
    lesson.train(batches, "Training it for int8", checkpoints=kept, log=log, progress=progress)
    save_plain(after, weights_out, provenance=provenance)
    return after


def _loss(network: PlainNetwork, data: ImageData, seed: int, moment_images: int, processes: Processes) -> float:
    """The loss on the search images as it is, with statistics of training images: the same for all processes."""
    finish(network, data, seed=seed, most=moment_images)
    outputs = torch.from_numpy(network_outputs(network, data.search.images))
    loss = data.task.objective().loss(outputs, torch.from_numpy(data.search.targets)).double()
    processes.average(loss)
    return float(loss)


def _folded(network: PlainNetwork) -> Teacher:
    """A finished network as it computes in float32."""
    weights = fold_tensors(network.weights(), network.moments)
    return lambda images: run_folded(network.space.network, network.widths, weights, images)
