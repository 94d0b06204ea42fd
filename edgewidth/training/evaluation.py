"""The evaluation phase: many configurations of a trained supernet meet the same images.

That every configuration is judged by the same images, with statistics of batch normalisation from the same
training images, and that the maximum network's loss on them is subtracted, removes most of the noise. Rounds of
evaluations go on until those losses that they leave possible would all choose alike near the budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.losses.focus import macs_focus
from edgewidth.losses.record import record_losses
from edgewidth.losses.rounds import Rounds
from edgewidth.progress import SILENT
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, SEED
from edgewidth.training.evaluator import Evaluator
from edgewidth.training.kept import KeptLosses
from edgewidth.training.loop.processes import join
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.weights import load_supernet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.losses.fit import Evaluations
    from edgewidth.losses.focus import Focus
    from edgewidth.progress import Progress
    from edgewidth.records.losses import UnaryLosses


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

    Every evaluation is kept as it comes, and not repeated after an interruption.

    Args:
        space: Of the supernet.
        data: Search images judge the configurations.
        supernet: The file of its weights.
        evaluations: The file in which evaluations are kept.
        seed: Of which configurations.
        progress: Where to report to.
        most: Evaluations, the held-out ones among them.
        focus: Near which budgets the losses should be known best; some shares of multiply-accumulates if None.

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
            kept.evaluate(configs, evaluator, processes, task)
            return kept.excess(configs)

        rounds = Rounds(space, focus, evaluate, most=most, seed=seed)
        losses = record_losses(rounds, data=data, images=evaluator.images, max_loss=kept.max_loss)
    held_out = sum(held.quality.held_out for held in losses.held_out)
    progress.say(f"{len(losses.fitted)} configurations evaluated and {held_out} held out: {losses.evaluation.stopped}.")
    return losses
