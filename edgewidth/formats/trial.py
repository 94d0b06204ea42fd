"""The network that a device is tried out with: one convolution, written in each format without a converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE, CHANNELS, FILTERS = 48, 16, 32
"""A 3×3 convolution over 48×48×16 values: 10.6 million multiply-accumulates, milliseconds on a small board."""


def trial_kernel() -> NDArray[np.float32]:
    """The convolution's kernel, float32 (filters, 3, 3, channels)."""
    return np.random.default_rng(0).normal(0, 0.1, (FILTERS, 3, 3, CHANNELS)).astype(np.float32)
