"""The stage that trains the chosen network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.progress import SILENT, Progress
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import FINETUNE, clear

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.training.networks.plain import PlainNetwork
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
    force: bool = False,
    progress: Progress = SILENT,
) -> PlainNetwork:
    """Train one configuration, from the supernet's weights, from a file of other weights, or from scratch.

    Writes ``weights.safetensors``. With ``force`` it is trained again, and what there was is removed once it is known
    that everything given fits. Raises as ``finetune_network`` does, and ``InputError`` where ``force`` would remove
    what training begins with.
    """
    from edgewidth.training.finetune import finetune_network  # noqa: PLC0415  torch loads when it is needed

    space.check(config)
    if force:
        _clear(folder, space, config, supernet, weights)
    return finetune_network(
        space,
        config,
        data,
        recipe,
        supernet=supernet,
        weights=weights,
        trained=_trained_beside(supernet),
        weights_out=folder.weights,
        log=folder.finetune_log,
        checkpoints=folder.checkpoints,
        seed=seed,
        progress=progress,
    )


def _trained_beside(supernet: Path | None) -> Path | None:
    """The network that a supernet began with, where the stage that trained it left it."""
    found = RunFolder(supernet.parent).trained if supernet else None
    return found if found and found.exists() else None


def _clear(
    folder: RunFolder, space: SearchSpace, config: ChannelConfig, supernet: Path | None, weights: Path | None
) -> None:
    """Remove what this stage wrote; if what training begins with does not fit, nothing."""
    from edgewidth.training.loop.processes import join  # noqa: PLC0415
    from edgewidth.training.networks.plain import PlainNetwork  # noqa: PLC0415
    from edgewidth.training.networks.pretrained import start_from  # noqa: PLC0415
    from edgewidth.training.networks.weights import load_supernet  # noqa: PLC0415

    if supernet:
        load_supernet(supernet, space)
    if weights:
        start_from(PlainNetwork(space, config), weights)
    join().on_first(lambda: clear(folder, FINETUNE, needed=weights))
