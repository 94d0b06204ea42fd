"""TFLite files: converted by TensorFlow, run by LiteRT."""

# ruff: noqa: PLC0415 - this is the door: LiteRT's schema and interpreter load when a file is made, cut or run

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgewidth.formats.sizes import metadata_bytes
from edgewidth.formats.tflite import IDENTIFIER
from edgewidth.records.measurement import FormatName, OperatorWork, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.formats.conversion import Conversion
    from edgewidth.formats.format import Layout, LoadedModel, ModelFacts
    from edgewidth.records.artifact import ArtifactMetadata
    from edgewidth.tasks.task import FileText


class TfliteFormat:
    """See ``edgewidth.formats.format.Format``."""

    name = FormatName.TFLITE
    converter = "tensorflow"
    image_layout: Literal["NHWC", "NCHW"] = "NHWC"

    def recognises(self, content: bytes) -> bool:
        """By the identifier that the schema asks for."""
        return content[4:8] == IDENTIFIER

    def convert(self, conversion: Conversion) -> dict[Precision, bytes]:
        """Through TensorFlow's converter, in a process of its own."""
        from edgewidth.formats.tflite.convert import tflite_files

        return tflite_files(conversion)

    def layout(self, content: bytes, conversion: Conversion) -> Layout:
        """The converter names things as it likes, so that layers are found by their weights."""
        from edgewidth.formats.tflite.slices import tflite_layout

        return tflite_layout(content, conversion)

    def facts(self, content: bytes, signature: str | None = None) -> ModelFacts:
        """Read by the schema."""
        from edgewidth.formats.tflite.facts import tflite_facts

        return tflite_facts(content, signature)

    def work(self, content: bytes) -> tuple[OperatorWork, ...]:
        """From the shapes that the file has."""
        from edgewidth.formats.tflite.work import tflite_work

        return tflite_work(content)

    def gathered(self, content: bytes, path: Path) -> bytes:
        """As it is: a .tflite file keeps nothing elsewhere."""
        del path
        return content

    def load(self, content: bytes) -> LoadedModel:
        """Loaded by LiteRT."""
        from edgewidth.formats.tflite.loaded import LoadedTflite

        return LoadedTflite(content)

    def annotate(self, content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
        """Our own entry, the standard TFLite metadata, and the label file behind the model."""
        from edgewidth.formats.tflite.metadata import with_tflite_metadata

        return with_tflite_metadata(content, metadata, text)

    def metadata_bytes(self, output_names: Sequence[str]) -> int:
        """The label file holds the names of the outputs once more, as plain text."""
        return metadata_bytes(output_names) + sum(len(name.encode()) + len("\n") for name in output_names)

    def trial(self) -> bytes:
        """Written field by field."""
        from edgewidth.formats.tflite.trial import tflite_trial

        return tflite_trial()
