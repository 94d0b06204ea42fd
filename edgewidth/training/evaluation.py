"""The evaluation phase: many configurations of a trained supernet meet the same images.

That every configuration is judged by the same images, with statistics of batch normalisation from the same
training images, and that the maximum network's loss on them is subtracted, removes most of the noise. Rounds of
evaluations go on until those losses that they leave possible would all choose alike near the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from edgewidth.losses.focus import macs_focus
from edgewidth.losses.record import record_losses
from edgewidth.losses.rounds import Rounds
from edgewidth.progress import SILENT
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, SEED
from edgewidth.streams import Purpose, stream
from edgewidth.training.kept import KeptLosses
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.inference import batch_size, fold_tensors, folded_outputs, measure_moments
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.weights import load_supernet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.losses.fit import Evaluations
    from edgewidth.losses.focus import Focus
    from edgewidth.progress import Progress
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.training.networks.supernet import Supernet


def evaluate_losses(
    space: SearchSpace,
    data: ImageData,
    *,
    supernet: Path,
    evaluations: Path,
    seed: int,
    progress: Progress = SILENT,
    most: int = 140,
    focus: Focus | None = None,
) -> UnaryLosses:
    """Evaluate configurations of a supernet until the choice is settled, and fit the unary losses.

    Every evaluation is kept as it comes, in the file ``evaluations``, and not repeated after an interruption. There are
    ``most`` of them at most, those held out among them. ``focus`` says near which budgets the losses should be known
    best; None: near some shares of multiply-accumulates.

    Raises:
        FileError: There is no supernet, or it cannot be read.
        MismatchError: The supernet is of another space.
        StorageError: A file cannot be written.
        InfeasibleError: No configuration keeps a budget of the focus.
    """
    processes = join()
    evaluator = Evaluator(load_supernet(supernet, space).to(compute_device()), data)
    focus = focus or macs_focus(space)
    provenance = Provenance(
        inputs={"supernet": file_digest(supernet), IMAGES: data.fingerprint},
        options={SEED: seed, "images evaluated": evaluator.images},
    )
    kept = KeptLosses(evaluations, provenance.digest, space.largest)
    with progress.task("Evaluating configurations", most + 1) as task:
        task.advance(len(kept))

        def evaluate(configs: Sequence[ChannelConfig]) -> Evaluations:
            kept.evaluate(configs, evaluator.loss, processes, task)
            return kept.excess(configs)

        rounds = Rounds(space, focus, evaluate, most=most, seed=seed)
        losses = record_losses(rounds, data=data, images=evaluator.images, max_loss=kept.max_loss)
    held_out = sum(held.quality.held_out for held in losses.held_out)
    progress.say(f"{len(losses.fitted)} configurations evaluated and {held_out} held out: {losses.evaluation.stopped}.")
    return losses


MOMENT_IMAGES = 256
"""On how many training images each configuration's statistics are computed."""


class Evaluator:
    """The losses of configurations of a trained supernet on the same images.

    ``images`` are ``search``, by which configurations are compared and chosen, or ``holdout``, which neither training
    nor search has seen. ``seed`` is that of the training images that statistics are computed on.
    """

    def __init__(
        self, supernet: Supernet, data: ImageData, *, images: Literal["search", "holdout"] = "search", seed: int = 0
    ) -> None:
        device = next(supernet.parameters()).device
        statistics_from = data.sample(MOMENT_IMAGES, stream(seed, Purpose.STATISTICS))
        split = data.search if images == "search" else data.holdout
        self._supernet = supernet
        self._moment_images = torch.from_numpy(statistics_from).to(device)
        self._images, self._targets = (torch.from_numpy(a).to(device) for a in (split.images, split.targets))
        self._objective = data.task.objective()

    @property
    def images(self) -> int:
        """How many images every configuration meets."""
        return len(self._targets)

    @torch.no_grad()
    def losses(self, config: ChannelConfig) -> NDArray[np.float64]:
        """The loss (nats) of every image: (images,)."""
        space = self._supernet.space
        widths = space.widths(config)
        size = batch_size(space.network, widths)
        moments = measure_moments(lambda x, found: self._supernet(x, config, found), self._moment_images, batch=size)
        weights = fold_tensors(self._supernet.weights(config), moments)
        parts = [folded_outputs(space.network, widths, weights, part) for part in torch.split(self._images, size)]
        return self._objective.losses(torch.cat(parts), self._targets).double().cpu().numpy()

    def loss(self, config: ChannelConfig) -> float:
        """The mean loss (nats per image)."""
        return float(self.losses(config).mean())
