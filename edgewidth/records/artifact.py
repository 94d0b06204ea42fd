"""An exported model file and what is known of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgewidth.records.base import Document, Record
from edgewidth.records.measurement import Precision
from edgewidth.records.network import ChannelConfig, SearchSpace


class Quantisation(Record):
    """``real = scale × (stored − zero_point)``."""

    scale: float
    zero_point: int


class ArtifactMetadata(Document):
    """What travels inside an artifact, so that someone who has only the file can run it.

    The input is ``(pixel - pixel_mean) / pixel_std`` of RGB or grey pixels 0…255, then quantised if
    ``input_quantisation`` is given: ``stored = round(real / scale) + zero_point``. The output is one logit a class.
    """

    schema_name: ClassVar[str] = "edgewidth/artifact"

    edgewidth_version: str
    network: str
    """The network's family."""
    config: ChannelConfig
    precision: Precision
    resolution: int
    channels: int
    """3: red, green, blue; 1: grey."""
    layout: Literal["NHWC", "NCHW"]
    pixel_mean: float
    pixel_std: float
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None
    class_names: tuple[str, ...]


class Artifact(Record):
    """One exported file. ``top1_percent`` is what its own runtime computes on the whole validation set."""

    file: str
    format: Literal["tflite", "onnx"]
    precision: Precision
    size_bytes: int
    sha256: str
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None
    top1_percent: float
    agreement_percent: float
    """How often its answer is the torch network's."""
    max_difference: float
    """Parity: the largest difference of any logit from the torch network's."""
    cosine: float
    """Parity: mean cosine between its logits and the torch network's."""


class Artifacts(Document):
    """The run folder's ``artifacts.json``: what was exported, and how well each file computes."""

    schema_name: ClassVar[str] = "edgewidth/artifacts"

    space: SearchSpace
    config: ChannelConfig
    reference_top1_percent: float
    """The torch network's own accuracy on the same images."""
    artifacts: tuple[Artifact, ...]
