"""The stage that trains the supernet and estimates what every width costs in loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.losses import UnaryLosses
    from edgewidth.records.network import SearchSpace
    from edgewidth.training.data import ImageData
    from edgewidth.training.recipes import Recipe


def train(
    space: SearchSpace,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> UnaryLosses:
    """Train the supernet and evaluate configurations; writes ``supernet.safetensors`` and ``losses.json``.

    Goes on from a checkpoint if the folder holds one.

    Raises:
        TrainingError: The loss is not finite or diverges.
    """
    from edgewidth.training.train import train_supernet  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.unary import evaluate_losses  # noqa: PLC0415

    if not folder.supernet.exists():
        train_supernet(space, data, recipe, folder=folder, seed=seed, progress=progress)
    losses = evaluate_losses(space, data, folder=folder, seed=seed, progress=progress, count=recipe.evaluations)
    losses.write(folder.losses)
    return losses
