"""What a supernet begins with when trained weights are given: their network on the images at hand, ordered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, RECIPE, SEED, START
from edgewidth.training.importance import measure_importance, order_channels
from edgewidth.training.loop.checkpoint import Checkpoints
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.pretrained import tell_start, trained_network
from edgewidth.training.ordinary import Lesson, finish, settle

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.networks.plain import PlainNetwork
    from edgewidth.training.recipes import FromTrained

ADAPT = "adapt"
"""The name of the checkpoints."""


def adapted_network(
    space: SearchSpace,
    data: ImageData,
    phases: FromTrained,
    weights: Path,
    *,
    log: Path,
    checkpoints: Path,
    seed: int,
    progress: Progress,
) -> PlainNetwork:
    """Train the network of a file at its own widths on the images, and put its channels in order of importance.

    Goes on from a checkpoint. The last one stays, so that what has ended is not done again; ``clear_adapted`` removes
    it when a supernet has been made of the network.

    Args:
        space: Of the supernet; its resolution and outputs are the data's.
        data: The images.
        phases: How long, how fast, and on how many batches importance is measured.
        weights: See ``edgewidth.training.networks.pretrained``.
        log: Where a JSON line per epoch goes.
        checkpoints: The folder for checkpoints.
        seed: Of a head for other classes and everything random.
        progress: Where to report to.

    Raises:
        FileError: The weights do not fit.
        TrainingError: The loss is not finite, or diverges.
        StorageError: A file cannot be written.
    """
    processes = join()
    network, given = trained_network(space, weights, seed=seed)
    tell_start(weights, list(given.fresh), progress)
    device = compute_device()
    network = network.to(device)
    settle(network, given.folded, data, seed=seed)
    batches = make_batches(data, phases.adapt, seed=seed, device=device, processes=processes)
    provenance = Provenance(
        inputs={"search space": network.space.fingerprint, IMAGES: data.fingerprint, START: file_digest(weights)},
        options={RECIPE: repr(phases.adapt), "batch": batches.size, SEED: seed},
    )
    kept = Checkpoints(checkpoints, ADAPT, provenance)
    lesson = Lesson(network, data, phases.adapt, seed, None, processes)
    lesson.train(batches, "Training the network as it was given", checkpoints=kept, log=log, progress=progress)
    finish(network, data, seed=seed)
    _order(network, data, phases, seed, processes)
    return network


def clear_adapted(checkpoints: Path) -> None:
    """Remove the checkpoints of the network's training."""
    Checkpoints(checkpoints, ADAPT, Provenance()).clear()


def _order(network: PlainNetwork, data: ImageData, phases: FromTrained, seed: int, processes: Processes) -> None:
    device = next(network.parameters()).device
    # float32: the importance of most channels is a small difference of large numbers.
    batches = make_batches(data, phases.adapt, seed=seed, device=device, dtype=torch.float32, processes=processes)
    shown = (batches[step] for step in range(phases.importance_batches))
    importance = measure_importance(network, shown, data.task.objective())
    for values in importance.values():
        processes.average(values)  # of each one's share of the images; and all must order alike
    order_channels(network, importance)
