"""The loss of any configuration of a supernet on the same images, with statistics of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from edgewidth.streams import Purpose, stream
from edgewidth.training.networks.inference import batch_size, fold_tensors, folded_outputs, measure_moments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig
    from edgewidth.training.networks.supernet import Supernet

MOMENT_IMAGES = 256
"""On how many training images each configuration's statistics are computed."""


class Evaluator:
    """The losses of configurations of a supernet on the same images.

    Args:
        supernet: Trained.
        data: Where the images are from.
        images: ``search``, by which configurations are compared and chosen, or ``holdout``, which neither training
            nor search has seen.
        seed: Of the training images that statistics are computed on.
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
        size = batch_size(space.network, space.widths(config))
        moments = measure_moments(lambda x, found: self._supernet(x, config, found), self._moment_images, batch=size)
        weights = fold_tensors(self._supernet.weights(config), moments)
        parts = [folded_outputs(space.network, weights, part) for part in torch.split(self._images, size)]
        return self._objective.losses(torch.cat(parts), self._targets).double().cpu().numpy()

    def loss(self, config: ChannelConfig) -> float:
        """The mean loss (nats per image)."""
        return float(self.losses(config).mean())
