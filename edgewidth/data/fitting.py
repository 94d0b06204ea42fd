"""Images brought to the size that a network takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray


def default_resolution(side: float) -> int:
    """The multiple of 32 that images of this shorter side reach, 96 at most: beyond it a processor trains for days."""
    return min(96, 32 * max(1, math.ceil(side / 32)))


def fit_all(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Every image as ``fit`` does: (n, height, width, channels) to (n, resolution, resolution, channels)."""
    if images.shape[1:3] == (resolution, resolution):
        return np.ascontiguousarray(images)
    fitted = np.empty((len(images), resolution, resolution, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        fitted[index] = fit(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), resolution)
    return fitted


def fit(image: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """The largest central square, scaled: (resolution, resolution, channels)."""
    fitted = np.asarray(ImageOps.fit(image, (resolution, resolution), Image.Resampling.BILINEAR))
    return fitted[..., None] if fitted.ndim == 2 else fitted
