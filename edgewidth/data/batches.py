"""Training batches: which images, in which order, varied how."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgewidth.errors import DataError
from edgewidth.streams import Purpose, stream
from edgewidth.training.loop.processes import ALONE
from edgewidth.training.networks.layers import normalise, training_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.split import ImageData
    from edgewidth.training.loop.processes import Processes
    from edgewidth.training.recipes import Augmentation

FEWEST_IMAGES = 4
"""Of one process in a step: batch normalisation has nothing to normalise with below, half of them per configuration."""


class Batch(NamedTuple):
    """Normalised images (n, channels, height, width), of the type to compute in, and labels (n,)."""

    images: Tensor
    labels: Tensor


class Batches:
    """The training images of ``data`` in shuffled batches, on a torch device.

    Every epoch uses a new order and leaves out the remainder that does not fill a batch. The images are of ``dtype``;
    None: what the device trains in. With several processes each gets its share of the batch that one process alone
    would have got; shares are equal, so that means over images are means over processes, and a batch is rounded down
    to where that is possible.

    Raises:
        DataError: A batch is too small for so many processes.
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
        processes: Processes = ALONE,
    ) -> None:
        self._images = torch.from_numpy(data.x_train).to(device)
        self._labels = torch.from_numpy(data.y_train).to(device)
        self._augmentation = augmentation
        self._seed = seed
        self._dtype = dtype or training_dtype(device)
        most = min(batch, len(self._labels))
        self.processes = processes
        self.size = most - most % processes.count
        if self.size < FEWEST_IMAGES * processes.count:
            raise DataError(
                f"A batch of {most} images is too small to share it out to {processes.count} processes.",
                remedy=f"Start {max(1, most // FEWEST_IMAGES)} at most, or choose a recipe with larger batches.",
            )
        self.per_epoch = len(self._labels) // self.size
        self._flips = augmentation.flip == "always" or (augmentation.flip == "colour" and data.in_channels == 3)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def __getitem__(self, step: int) -> Batch:
        """This process's share of the batch of one step, counted from the first step of the first epoch."""
        epoch, index = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = stream(self._seed, Purpose.ORDER, epoch).permutation(len(self._labels))
            self._order = (epoch, torch.from_numpy(order).to(self._labels.device))
        # Drawn for the whole batch, so that an image varies alike whichever process computes it.
        rng = stream(self._seed, Purpose.VARIATION, step)
        pixels = draw_pixels(self.size, self._images.shape[1], self._augmentation.shift, rng, flips=self._flips)
        share = self.processes.share(self.size)
        chosen = self._order[1][index * self.size : (index + 1) * self.size][share]
        images = vary(self._images[chosen], Pixels(pixels.rows[share], pixels.columns[share]))
        return Batch(normalise(images, self._dtype), self._labels[chosen])


class Pixels(NamedTuple):
    """Which row and column of an image each of its varied pixels comes from: (n, height) and (n, width)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def draw_pixels(count: int, size: int, shift: float, rng: np.random.Generator, *, flips: bool) -> Pixels:
    """Shift each of ``count`` square images by its own whole pixels, repeating its edge, and mirror half."""
    rows, columns = (_shifted(size, count, shift, rng) for _ in range(2))
    if flips:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    return Pixels(rows, columns)


def vary(images: Tensor, pixels: Pixels) -> Tensor:
    """Images (n, height, width, channels) with their pixels taken from elsewhere: one gather for the whole batch."""
    rows, columns = (torch.from_numpy(index).to(images.device) for index in pixels)
    return images[torch.arange(len(images), device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _shifted(size: int, count: int, shift: float, rng: np.random.Generator) -> NDArray[np.int64]:
    most = round(size * shift)
    offsets = rng.integers(-most, most + 1, count)
    return np.asarray(np.clip(np.arange(size) + offsets[:, None], 0, size - 1), np.int64)
