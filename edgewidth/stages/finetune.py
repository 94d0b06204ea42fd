"""The stage that trains the chosen network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.progress import SILENT, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.folder import RunFolder
    from edgewidth.records.network import ChannelConfig, SearchSpace
    from edgewidth.training.data import ImageData
    from edgewidth.training.plain import PlainNetwork
    from edgewidth.training.recipes import Recipe


def finetune(
    space: SearchSpace,
    config: ChannelConfig,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    supernet: Path | None,
    weights: Path | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration, from the supernet's weights, from a file of other weights, or from scratch.

    Writes ``weights.safetensors``.

    Raises:
        InputError: A configuration that is not in the space.
        FileError: Weights that do not fit.
        TrainingError: The loss is not finite or diverges.
    """
    from edgewidth.training.finetune import finetune as train_network  # noqa: PLC0415  torch loads when it is needed

    space.check(config)
    return train_network(
        space,
        config,
        data,
        recipe,
        supernet=supernet,
        weights=weights,
        weights_out=folder.weights,
        log=folder.finetune_log,
        checkpoints=folder.checkpoints,
        seed=seed,
        progress=progress,
    )
