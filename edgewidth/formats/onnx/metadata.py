"""Metadata in .onnx files: edgewidth's own as JSON, and the properties that the standard names.

Standard: https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edgewidth.records.artifact import ArtifactMetadata

if TYPE_CHECKING:
    from edgewidth.tasks.task import FileText


def with_onnx_metadata(content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
    """An .onnx file with both kinds of metadata; the names of the outputs are in ours."""
    model = onnx.load_model_from_string(content)
    properties = {ArtifactMetadata.schema_name: metadata.to_json()}
    if metadata.is_image:
        properties["Image.BitmapPixelFormat"] = "Rgb8" if metadata.channels == 3 else "Gray8"
        properties["Image.NominalPixelRange"] = "Normalized_1_1"
    onnx.helper.set_model_props(model, properties)
    model.producer_version = metadata.edgewidth_version
    model.doc_string = f"{text.model}, {metadata.precision}, channel configuration {metadata.config}."
    return bytes(model.SerializeToString())


def read_onnx_metadata(model: onnx.ModelProto) -> ArtifactMetadata | None:
    """What edgewidth wrote into this .onnx file; None if another program made it."""
    own = (entry.value for entry in model.metadata_props if entry.key == ArtifactMetadata.schema_name)
    return next(map(ArtifactMetadata.parsed, own), None)
