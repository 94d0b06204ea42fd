"""Training batches: which images, in which order, varied how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgewidth.data.pixels import normalise_tensor
from edgewidth.errors import DataError
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.augmentation import Augmentation
    from edgewidth.data.sources import Split

    MoveTargets = Callable[[Tensor, NDArray[np.int64], NDArray[np.int64]], Tensor]
    """Targets of images whose pixels are taken from other rows (n, height) and columns (n, width)."""

FEWEST_IMAGES = 4
"""The fewest images in a share of a batch: each random configuration takes half, and batch normalisation needs two."""


class Batch(NamedTuple):
    """Normalised images (n, channels, height, width), in the data type of the computation, and their targets (n, …)."""

    images: Tensor
    targets: Tensor


class Batches:
    """Training images or features in shuffled batches of at most ``batch``, on a torch device, normalised as ``dtype``.

    Every epoch uses a new order and leaves out the remainder that does not fill a batch. Of several processes each
    makes its ``share``, from 0, of the ``shares`` of the batch that one process alone would have got; shares are equal,
    so that means over images are means over processes, and a batch is rounded down to where that is possible.

    ``augmentation`` says how images are varied, and ``move_targets`` moves their targets along; mixing is not done
    here. Features are not varied.

    Raises:
        DataError: A batch is too small for so many shares.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch: int,
        augmentation: Augmentation,
        move_targets: MoveTargets,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        share: int = 0,
        shares: int = 1,
    ) -> None:
        self._images = torch.from_numpy(split.images).to(device)
        self._targets = torch.from_numpy(split.targets).to(device)
        self._augmentation, self._move_targets = augmentation, move_targets
        self._seed, self._dtype = seed, dtype
        most = min(batch, len(split))
        self.size = most - most % shares
        if self.size < FEWEST_IMAGES * shares:
            raise DataError(
                f"A batch of {most} images is too small to share it out to {shares} processes.",
                remedy=f"Start {max(1, most // FEWEST_IMAGES)} at most, or choose a recipe with larger batches.",
            )
        own = self.size // shares
        self._share = slice(share * own, (share + 1) * own)
        self.per_epoch = len(split) // self.size
        self._order: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def __getitem__(self, step: int) -> Batch:
        """This share of the batch of one step, counted from the first step of the first epoch."""
        epoch, index = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            order = stream(self._seed, Purpose.ORDER, epoch).permutation(len(self._images))
            self._order = (epoch, torch.from_numpy(order).to(self._images.device))
        chosen = self._order[1][index * self.size : (index + 1) * self.size][self._share]
        # Drawn for the whole batch, so that an image varies alike whichever process computes it.
        rng = stream(self._seed, Purpose.VARIATION, step)
        images, targets = self._images[chosen], self._targets[chosen]
        if not images.is_floating_point():  # what moving or mirroring does to features is not known
            height, width, channels = images.shape[1:]
            shift, flips = self._augmentation.shift, self._augmentation.flips(channels)
            pixels = draw_pixels(self.size, (height, width), shift, rng, flips=flips).of(self._share)
            images, targets = vary(images, pixels), self._move_targets(targets, *pixels)
        return Batch(normalise_tensor(images, self._dtype), targets)


def vary(images: Tensor, pixels: Pixels) -> Tensor:
    """Images (n, height, width, channels) with their pixels taken from elsewhere: one gather for the whole batch."""
    rows, columns = (torch.from_numpy(index).to(images.device) for index in pixels)
    return images[torch.arange(len(images), device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


class Pixels(NamedTuple):
    """Which row and column of an image each of its varied pixels comes from: (n, height) and (n, width)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def of(self, part: slice) -> Pixels:
        """Those of some of the images."""
        return Pixels(self.rows[part], self.columns[part])


def draw_pixels(count: int, size: tuple[int, int], shift: float, rng: np.random.Generator, *, flips: bool) -> Pixels:
    """Shift each of ``count`` images of this ``size`` by its own whole pixels, repeating its edge, and mirror half."""
    rows, columns = (_shifted(side, count, shift, rng) for side in size)
    if flips:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    return Pixels(rows, columns)


def _shifted(side: int, count: int, shift: float, rng: np.random.Generator) -> NDArray[np.int64]:
    most = round(side * shift)
    offsets = rng.integers(-most, most + 1, count)
    return np.asarray(np.clip(np.arange(side) + offsets[:, None], 0, side - 1), np.int64)
