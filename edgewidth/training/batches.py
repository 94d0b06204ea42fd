"""Training batches: which images, in which order, varied how.

Everything random is drawn from generators made of (seed, purpose, position), so nothing random has a state: a
training that is taken up at step n draws what the unbroken one would have drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgewidth.training.layers import normalise, training_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.training.data import ImageData
    from edgewidth.training.recipes import Augmentation

ORDER, VARIATION, WIDTHS, MIXING = 11, 12, 13, 14
"""Purposes of random streams."""


def stream(seed: int, purpose: int, position: int) -> np.random.Generator:
    """The random generator for one purpose at one epoch or step."""
    return np.random.default_rng([seed, purpose, position])


class Batch(NamedTuple):
    """Normalised images (n, channels, height, width), of the type to compute in, and labels (n,)."""

    images: Tensor
    labels: Tensor


class Batches:
    """The training images of ``data`` in shuffled batches, on a torch device.

    Every epoch uses a new order and leaves out the remainder that does not fill a batch. The images are of ``dtype``;
    None: what the device trains in.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        batch: int,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._images = torch.from_numpy(data.x_train).to(device)
        self._labels = torch.from_numpy(data.y_train).to(device)
        self._augmentation = augmentation
        self._seed = seed
        self._dtype = dtype or training_dtype(device)
        self.size = min(batch, len(self._labels))
        self.per_epoch = len(self._labels) // self.size
        self._flips = augmentation.flip == "always" or (augmentation.flip == "colour" and data.in_channels == 3)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def __getitem__(self, step: int) -> Batch:
        """The batch of one step, counted from the first step of the first epoch."""
        epoch, index = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = stream(self._seed, ORDER, epoch).permutation(len(self._labels))
            self._order = (epoch, torch.from_numpy(order).to(self._labels.device))
        chosen = self._order[1][index * self.size : (index + 1) * self.size]
        rng = stream(self._seed, VARIATION, step)
        images = vary(self._images[chosen], self._augmentation.shift, rng, flips=self._flips)
        return Batch(normalise(images, self._dtype), self._labels[chosen])


def vary(images: Tensor, shift: float, rng: np.random.Generator, *, flips: bool) -> Tensor:
    """Shift every image (n, height, width, channels) by its own whole pixels, repeating its edge, and mirror half.

    One gather for the whole batch: which pixel goes where is arithmetic on indices.
    """
    count, height, width = images.shape[:3]
    rows = _shifted(height, count, shift, rng)
    columns = _shifted(width, count, shift, rng)
    if flips:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    place = [torch.from_numpy(index).to(images.device) for index in (rows, columns)]
    return images[torch.arange(count, device=images.device)[:, None, None], place[0][:, :, None], place[1][:, None, :]]


def _shifted(size: int, count: int, shift: float, rng: np.random.Generator) -> NDArray[np.int64]:
    most = round(size * shift)
    offsets = rng.integers(-most, most + 1, count)
    return np.asarray(np.clip(np.arange(size) + offsets[:, None], 0, size - 1), np.int64)
