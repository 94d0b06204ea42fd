"""The one normalisation of pixels that every network and every artifact expects, of arrays and of torch's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

PIXEL_MEAN = 127.5
PIXEL_STD = 127.5
"""A network's input is ``(pixel - mean) / std``: pixels 0…255 become -1…1, in every channel of every data set."""


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images uint8 (n, height, width, channels) as a model file takes them: float32 of the same shape."""
    return images.astype(np.float32) / np.float32(PIXEL_STD) - np.float32(PIXEL_MEAN / PIXEL_STD)


def normalise_tensor(images: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Images uint8 (n, height, width, channels) as a torch network takes them: (n, channels, height, width).

    They are channels-last in memory, and of ``dtype``; None: float32.
    """
    pixels = images.permute(0, 3, 1, 2).float().mul_(1 / PIXEL_STD).sub_(PIXEL_MEAN / PIXEL_STD)
    return pixels if dtype is None else pixels.to(dtype)
