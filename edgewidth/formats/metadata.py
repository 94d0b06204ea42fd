"""What edgewidth writes of itself into an artifact, and how it is read again."""

from __future__ import annotations

import json

from edgewidth.records.artifact import ArtifactMetadata

OWN_ENTRY = ArtifactMetadata.schema_name
"""The name of the metadata entry (TFLite) or property (ONNX) that holds the JSON of ``ArtifactMetadata``."""


def parse_metadata(text: str) -> ArtifactMetadata | None:
    """The metadata in an entry of that name; None if it is not ours or of a newer edgewidth."""
    try:
        fields = json.loads(text)
        name, version = fields.pop("schema"), fields.pop("schema_version")
        if name != ArtifactMetadata.schema_name or version > ArtifactMetadata.schema_version:
            return None
        return ArtifactMetadata.model_validate_json(json.dumps(fields))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
