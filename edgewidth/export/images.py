"""The one input normalisation that every artifact expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL_MEAN = 127.5
PIXEL_STD = 127.5
"""A network's input is ``(pixel - mean) / std``: pixels 0…255 become -1…1, in every channel of every data set."""


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images uint8 (n, height, width, channels) as a network takes them: float32 of the same shape."""
    return images.astype(np.float32) / np.float32(PIXEL_STD) - np.float32(PIXEL_MEAN / PIXEL_STD)
