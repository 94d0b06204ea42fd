"""What networks and artifacts are given: pixels by one normalisation, features as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Inputs = NDArray[np.uint8] | NDArray[np.float32]
    """Examples (n, height, width, channels) as they are stored: pixels as uint8, or features as float32."""

PIXEL_MEAN = 127.5
PIXEL_STD = 127.5
"""A network's input is ``(pixel - mean) / std``: pixels 0…255 become -1…1, in every channel of every data set."""


def are_features(inputs: Inputs) -> bool:
    """Whether these are features, which nothing is known of but their numbers: no pixels."""
    return inputs.dtype != np.uint8


def normalise(inputs: Inputs) -> NDArray[np.float32]:
    """Pixels or features (n, height, width, channels) as a model file takes them: float32 of the same shape.

    Features are what the network takes: whoever runs the file has them, and nothing else.
    """
    if are_features(inputs):
        return inputs.astype(np.float32, copy=False)
    return inputs.astype(np.float32) / np.float32(PIXEL_STD) - np.float32(PIXEL_MEAN / PIXEL_STD)


def normalise_tensor(inputs: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Pixels or features (n, height, width, channels) as a torch network takes them: (n, channels, height, width).

    They are channels-last in memory, and of ``dtype``; None: float32.
    """
    given = inputs.permute(0, 3, 1, 2)
    if not given.is_floating_point():
        given = given.float().mul_(1 / PIXEL_STD).sub_(PIXEL_MEAN / PIXEL_STD)
    return given.float() if dtype is None else given.to(dtype)
