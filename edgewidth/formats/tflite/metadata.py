"""Metadata in .tflite files: edgewidth's own as JSON, and the standard one that other tools read.

The standard one (Android Studio, MediaPipe, the TFLite support library) is a flatbuffer of its own in the model's
buffer ``TFLITE_METADATA``, and the label file in a zip archive behind the model. Format: ``metadata_schema.fbs``,
version 1.0 (https://www.tensorflow.org/lite/models/convert/metadata).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewidth.formats.tflite.file import read_model, write_model
from edgewidth.records.artifact import LABELS, ArtifactMetadata
from edgewidth.resolution import sides

if TYPE_CHECKING:
    from edgewidth.tasks.task import FileText

STANDARD_ENTRY = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"

# Values of the schema's enums and unions.
_TENSOR_AXIS_LABELS = 2
_RGB, _GRAYSCALE = 1, 2
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1


def with_tflite_metadata(content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
    """A .tflite file with both kinds of metadata and its labels.

    Raises:
        FileError: It is no .tflite file.
    """
    model = read_model(content)
    _add_entry(model, ArtifactMetadata.schema_name, metadata.to_json().encode())
    _add_entry(model, STANDARD_ENTRY, _standard_metadata(metadata, text))
    return _append_labels(write_model(model), metadata.class_names)


def read_tflite_metadata(content: bytes) -> ArtifactMetadata | None:
    """What edgewidth wrote into this valid .tflite file; None if another program made it."""
    model = schema.Model.GetRootAs(content, 0)
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == ArtifactMetadata.schema_name.encode():
            return ArtifactMetadata.parsed(bytes(model.Buffers(entry.Buffer()).DataAsNumpy()).decode(errors="replace"))
    return None


def _add_entry(model: Any, name: str, content: bytes) -> None:
    model.buffers.append(schema.BufferT(np.frombuffer(content, np.uint8)))
    model.metadata = [*(model.metadata or []), schema.MetadataT(name, len(model.buffers) - 1)]


class _Reference(NamedTuple):
    """A field that points to something written before: a string, a vector or a table."""

    offset: int


class _Byte(NamedTuple):
    """A field that holds an enum's or a union type's value."""

    value: int


class _Writer:
    """Writes tables as what their fields hold, by place in the schema."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def table(self, fields: dict[int, _Reference | _Byte | None]) -> _Reference:
        """A table; None: the field is absent."""
        self.builder.StartObject(max(fields, default=-1) + 1)
        for place, field in fields.items():
            match field:
                case _Reference(offset):
                    self.builder.PrependUOffsetTRelativeSlot(place, offset, 0)
                case _Byte(value):
                    self.builder.PrependUint8Slot(place, value, 0)
                case None:
                    pass
        return _Reference(self.builder.EndObject())

    def text(self, text: str) -> _Reference:
        return _Reference(self.builder.CreateString(text))

    def floats(self, *values: float) -> _Reference:
        return _Reference(self.builder.CreateNumpyVector(np.array(values, np.float32)))

    def tables(self, tables: Sequence[_Reference]) -> _Reference:
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table.offset)
        return _Reference(self.builder.EndVector())

    def finish(self, root: _Reference) -> bytes:
        self.builder.Finish(root.offset, file_identifier=_IDENTIFIER)
        return bytes(self.builder.Output())


def _standard_metadata(metadata: ArtifactMetadata, text: FileText) -> bytes:
    """The content of the buffer ``TFLITE_METADATA``."""
    writer = _Writer()
    subgraph = writer.table({2: writer.tables([_input(writer, metadata)]), 3: writer.tables([_output(writer, text)])})
    description = (
        f"{text.model}, {metadata.precision}, channel configuration {metadata.config}; "
        f"made by edgewidth {metadata.edgewidth_version}."
    )
    root = writer.table(
        {
            0: writer.text(metadata.network),
            1: writer.text(description),
            3: writer.tables([subgraph]),
            7: writer.text(_MIN_PARSER_VERSION),
        }
    )
    return writer.finish(root)


def _input(writer: _Writer, metadata: ArtifactMetadata) -> _Reference:
    if metadata.input == "features":
        return _features(writer, metadata)
    mean, std = metadata.pixel_mean, metadata.pixel_std
    options = writer.table({0: writer.floats(mean), 1: writer.floats(std)})
    unit = writer.table({0: _Byte(_NORMALIZATION_OPTIONS), 1: options})
    image = writer.table({0: _Byte(_RGB if metadata.channels == 3 else _GRAYSCALE)} if metadata.is_image else {})
    kind = _Byte(_IMAGE_PROPERTIES if metadata.is_image else _FEATURE_PROPERTIES)
    height, width = sides(metadata.resolution)
    in_words = f"height and width {height}" if height == width else f"height {height}, width {width}"
    description = f"Pixels 0 to 255 as (pixel - {mean:g}) / {std:g}, {in_words}."
    return writer.table(
        {
            0: writer.text("image"),
            1: writer.text(description),
            3: writer.table({0: kind, 1: image}),
            4: writer.tables([unit]),
            5: writer.table({0: writer.floats((255 - mean) / std), 1: writer.floats(-mean / std)}),
        }
    )


def _features(writer: _Writer, metadata: ArtifactMetadata) -> _Reference:
    shape = "×".join(map(str, (*sides(metadata.resolution), metadata.channels)))
    return writer.table(
        {
            0: writer.text("features"),
            1: writer.text(f"{shape} features as the network was trained on."),
            3: writer.table({0: _Byte(_FEATURE_PROPERTIES), 1: writer.table({})}),
        }
    )


def _output(writer: _Writer, text: FileText) -> _Reference:
    labels = writer.table({0: writer.text(LABELS), 1: writer.text(text.output_names), 2: _Byte(_TENSOR_AXIS_LABELS)})
    return writer.table(
        {
            0: writer.text("logits"),
            1: writer.text(text.output),
            3: writer.table({0: _Byte(_FEATURE_PROPERTIES), 1: writer.table({})}),
            6: writer.tables([labels]),
        }
    )


def _append_labels(content: bytes, class_names: Sequence[str]) -> bytes:
    """The model with ``labels.txt`` behind it, as a zip archive that begins where the model ends."""
    file = io.BytesIO(content)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # A fixed time: the same network gives the same file.
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{name}\n" for name in class_names))
    return file.getvalue()
