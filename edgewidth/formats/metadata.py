"""What edgewidth writes of itself into an artifact, and how it is read again."""

from __future__ import annotations

from edgewidth.errors import FileError
from edgewidth.records.artifact import ArtifactMetadata

OWN_ENTRY = ArtifactMetadata.schema_name
"""The name of the metadata entry (TFLite) or property (ONNX) that holds the JSON of ``ArtifactMetadata``."""


def parse_metadata(text: str) -> ArtifactMetadata | None:
    """The metadata in an entry of that name; None if it is not ours or of a newer edgewidth."""
    try:
        return ArtifactMetadata.from_json(text, OWN_ENTRY)
    except FileError:
        return None
