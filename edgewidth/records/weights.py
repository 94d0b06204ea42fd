"""Trained weights as every exporter takes them: batch normalisation folded, NumPy arrays, no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FoldedLayer(NamedTuple):
    """One layer's numbers, float32.

    ``kernel``: conv (out, in, height, width); depthwise (channels, 1, height, width); dense (out, in).
    ``bias``: (out,).
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


FoldedWeights = Mapping[str, FoldedLayer]
"""The numbers of the layers by their names; layers without weights are absent."""
