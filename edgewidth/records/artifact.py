"""An exported model file and what is known of it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from edgewidth.documents import Document, Record
from edgewidth.errors import FileError
from edgewidth.graph.space import ChannelConfig, SearchSpace
from edgewidth.records.measurement import FormatName, MeasurementWarning, Precision
from edgewidth.records.provenance import Digest, Facts, Made
from edgewidth.records.upgrades import name_accuracies
from edgewidth.resolution import Resolution
from edgewidth.shown import Shown

MAX_INT8_DROP_POINTS = 1.0
"""What quantisation may cost in points of accuracy, unless something else is asked for."""
LABELS = "labels.txt"
"""The file of class names beside the exported ones: one a line, in the order of the logits."""


def model_name(precision: Precision, format_name: FormatName) -> str:
    """The name of an exported file."""
    return f"model_{precision}.{format_name}"


class Quantisation(Record):
    """``real = scale × (stored − zero_point)``."""

    scale: float
    zero_point: int


class ArtifactMetadata(Document):
    """What travels inside an artifact, so that someone who has only the file can run it.

    The input is ``(pixel - pixel_mean) / pixel_std`` of pixels 0…255, or the features as they were trained on, then
    quantised if ``input_quantisation`` is given: ``stored = round(real / scale) + zero_point``. The output is one logit
    a class.
    """

    schema_name: ClassVar[str] = "edgewidth/artifact"

    edgewidth_version: str
    network: str
    """The network's family."""
    config: ChannelConfig
    precision: Precision
    resolution: Resolution
    channels: int
    """Of pixels 3: red, green, blue; 1: grey."""
    input: Literal["pixels", "features"] = "pixels"
    layout: Literal["NHWC", "NCHW"]
    pixel_mean: float
    pixel_std: float
    """Of features 1, and the mean 0."""
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None
    class_names: tuple[str, ...]

    @property
    def is_image(self) -> bool:
        """Whether other programs would call the input an image."""
        return self.input == "pixels" and self.channels in {1, 3}

    @classmethod
    def parsed(cls, text: str) -> Self | None:
        """The metadata in a file's entry of the schema's name; None if it is not ours or of a newer edgewidth."""
        try:
            return cls.from_json(text, cls.schema_name)
        except FileError:
            return None


class Int8Accuracy(Record):
    """What int8 costs one file, on images that no network was trained on and no accuracy is reported of.

    All are accuracies in percent; those of int8 are what the file's own runtime computes.
    """

    images: int
    float32_percent: float
    """The trained network's."""
    plain_percent: float
    """Quantised as it was trained."""
    trained_percent: float | None
    """After it was trained on for int8; null where that was not needed."""

    @property
    def is_trained(self) -> bool:
        """Whether the file is the one that was trained for int8: only if that is better."""
        return self.trained_percent is not None and self.trained_percent > self.plain_percent

    @property
    def lost_points(self) -> float:
        """What plain quantisation costs."""
        return self.float32_percent - self.plain_percent

    def __str__(self) -> str:
        """One sentence without its subject and full stop."""
        text = f"plain quantisation costs {self.lost_points:.2f} points on {self.images:,} images kept out of training"
        if self.trained_percent is None:
            return text
        if not self.is_trained:
            return f"{text}, and training for int8 regains none"
        return f"{text}, and training for int8 regains {self.trained_percent - self.plain_percent:.2f} of them"


class Artifact(Record):
    """One exported file."""

    file: str
    format: FormatName
    precision: Precision
    size_bytes: int
    sha256: str
    input_quantisation: Quantisation | None = None
    output_quantisation: Quantisation | None = None
    metric: str
    """Which accuracy the task is judged by, such as ``top-1``."""
    accuracy_percent: float
    """The accuracy on all test images, as the file's own runtime computes it."""
    agreement_percent: float
    """How often its answer is that of the torch network with the same weights."""
    max_difference: float
    """Parity: the largest difference of any logit from the torch network's."""
    cosine: float
    """Parity: mean cosine between its logits and the torch network's."""
    int8: Int8Accuracy | None = None
    """How an int8 file was chosen; null for other precisions."""


class Artifacts(Shown, Made):
    """The run folder's ``artifacts.json``: what was exported, and how well each file computes."""

    schema_name: ClassVar[str] = "edgewidth/artifacts"
    schema_version: ClassVar[int] = 2

    space: SearchSpace
    config: ChannelConfig
    reference_accuracy_percent: float
    """The torch network's own accuracy on the same images."""
    max_int8_drop_points: float = MAX_INT8_DROP_POINTS
    """An int8 file that loses more points of accuracy than this is trained for."""
    artifacts: tuple[Artifact, ...]
    warnings: tuple[MeasurementWarning, ...] = ()

    @property
    def made_of(self) -> Facts:
        """What they were made of, and the files themselves: what was made of them knows these."""
        return super().made_of | {one.file: Digest(one.sha256) for one in self.artifacts}

    @classmethod
    def _upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        del version
        name_accuracies(content)
        return content
