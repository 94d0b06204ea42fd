"""How large a model file will be, before it is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from edgewidth.graph.costs import Array, LayerFactor


class FileSize(NamedTuple):
    """What the files of one format and precision are made of, in bytes.

    Fitted to 32 variants of MobileNet-v1 each; weights and channels explain their sizes to 60 bytes.
    """

    weight: int
    channel: int
    """Bias, scales and zero points of one output channel."""
    layer: int
    """What describes a layer."""

    def of(self, layer: LayerFactor) -> Array:
        """The bytes that a layer adds to a file at each of its widths: an array shaped like ``layer.parameters``."""
        return (layer.parameters - layer.channels) * self.weight + layer.channels * self.channel + self.layer


METADATA_BYTES = 2_000
"""Normalisation and descriptions in an emitted file; at most, measured with both formats."""


def metadata_bytes(output_names: Sequence[str]) -> int:
    """What the description of input and output adds to a file, at most, with each output's name once as JSON."""
    return METADATA_BYTES + sum(len(json.dumps(name)) + len("  ,\n") for name in output_names)


def element_bytes(precision: Precision) -> int:
    """The bytes of one element of an activation."""
    return 1 if precision is Precision.INT8 else 4
