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


def fit_all(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Every image as ``fit`` does: (n, height, width, channels) to that ``size``, height and width."""
    if images.shape[1:3] == size:
        return np.ascontiguousarray(images)
    fitted = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        if image.shape[2] == 3:
            fitted[index] = fit(Image.fromarray(image), size)
        else:
            channels = np.moveaxis(image, 2, 0)
            fitted[index] = np.concatenate([fit(Image.fromarray(channel), size) for channel in channels], axis=2)
    return fitted


def fit(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The largest central part of these proportions, scaled: (height, width, channels), ``size`` the first two."""
    height, width = size
    fitted = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))
    return fitted[..., None] if fitted.ndim == 2 else fitted
