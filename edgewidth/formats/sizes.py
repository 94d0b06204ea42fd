"""How large a model file will be, before it is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.costs import Array, LayerFactor


class FileSize(NamedTuple):
    """What a model file is made of, in bytes."""

    weight: int
    channel: int
    """Bias, scales and zero points of one output channel."""
    layer: int
    """What describes a layer."""


FILE_SIZES: dict[tuple[Precision, FormatName], FileSize] = {
    (Precision.INT8, FormatName.TFLITE): FileSize(1, 28, 809),
    (Precision.FLOAT32, FormatName.TFLITE): FileSize(4, 4, 647),
    (Precision.INT8, FormatName.ONNX): FileSize(1, 17, 1175),
    (Precision.FLOAT32, FormatName.ONNX): FileSize(4, 4, 296),
}
"""Fitted to 32 variants of MobileNet-v1 each; weights and channels explain their sizes to 60 bytes."""
METADATA_BYTES = 2_000
"""Normalisation and descriptions in an emitted file; at most, measured with both formats."""


def file_bytes(layer: LayerFactor, precision: Precision, format_name: FormatName) -> Array:
    """What a layer adds to a model file: an array as those of the layer."""
    size = FILE_SIZES[precision, format_name]
    return (layer.parameters - layer.channels) * size.weight + layer.channels * size.channel + size.layer


def metadata_bytes(class_names: Sequence[str], format_name: FormatName) -> int:
    """What an emitted file has that a variant has not: each class name as JSON, and in a .tflite as plain text too."""
    as_json = sum(len(json.dumps(name)) + len("  ,\n") for name in class_names)
    as_text = sum(len(name.encode()) + len("\n") for name in class_names)
    return METADATA_BYTES + as_json + (as_text if format_name is FormatName.TFLITE else 0)


def element_bytes(precision: Precision) -> int:
    """Of one element of an activation."""
    return 1 if precision is Precision.INT8 else 4
