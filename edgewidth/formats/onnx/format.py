"""ONNX files: written from the network's description, quantised and run by ONNX Runtime."""

# ruff: noqa: PLC0415 - this is the door: onnx and ONNX Runtime load when a file is made, cut or run

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgewidth.formats.sizes import metadata_bytes
from edgewidth.records.measurement import FormatName, OperatorWork, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.formats.conversion import Conversion
    from edgewidth.formats.format import Layout, LoadedModel, ModelFacts
    from edgewidth.records.artifact import ArtifactMetadata
    from edgewidth.tasks.task import FileText


class OnnxFormat:
    """See ``edgewidth.formats.format.Format``."""

    name = FormatName.ONNX
    converter = "onnxruntime"
    image_layout: Literal["NHWC", "NCHW"] = "NCHW"

    def recognises(self, content: bytes) -> bool:
        """By its first field, which is nearly always ``ir_version``: a protocol buffer has no identifier."""
        return content[:1] == b"\x08"

    def convert(self, conversion: Conversion) -> dict[Precision, bytes]:
        """Written node by node; int8 by ONNX Runtime's static quantisation."""
        from edgewidth.formats.onnx.network import onnx_files

        return onnx_files(conversion)

    def layout(self, content: bytes, conversion: Conversion) -> Layout:
        """The names in the file, which are ours, say what each constant is; the weights are not needed."""
        from edgewidth.formats.onnx.slices import OnnxLayout

        return OnnxLayout(content, conversion.network, conversion.widths)

    def facts(self, content: bytes, signature: str | None = None) -> ModelFacts:
        """Read as a protocol buffer."""
        from edgewidth.formats.onnx.facts import onnx_facts

        return onnx_facts(content, signature)

    def work(self, content: bytes) -> tuple[OperatorWork, ...]:
        """From the shapes that the file has."""
        from edgewidth.formats.onnx.work import onnx_work

        return onnx_work(content)

    def gathered(self, content: bytes, path: Path) -> bytes:
        """With its external data, where it has some."""
        from edgewidth.formats.onnx.external import gathered

        return gathered(content, path)

    def load(self, content: bytes) -> LoadedModel:
        """Loaded by ONNX Runtime."""
        from edgewidth.formats.onnx.loaded import LoadedOnnx

        return LoadedOnnx(content)

    def annotate(self, content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
        """Our own property, and those that the standard names."""
        from edgewidth.formats.onnx.metadata import with_onnx_metadata

        return with_onnx_metadata(content, metadata, text)

    def metadata_bytes(self, output_names: Sequence[str]) -> int:
        """The names of the outputs are in our own property alone."""
        return metadata_bytes(output_names)

    def trial(self) -> bytes:
        """Written node by node."""
        from edgewidth.formats.onnx.trial import onnx_trial

        return onnx_trial()
