"""What edgewidth does with model files, whatever their format: the protocol that every format fulfils.

A new format is a folder beside ``tflite`` and ``onnx`` with a class that fulfils ``Format``, a name in ``FormatName``
and an entry in ``registry.FORMATS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgewidth.formats.loaded import LoadedModel
    from edgewidth.formats.sizes import FileSize
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.progress import Progress
    from edgewidth.records.artifact import ArtifactMetadata
    from edgewidth.records.measurement import FormatName, Precision
    from edgewidth.records.weights import FoldedWeights
    from edgewidth.tasks.task import FileText


class Layout(Protocol):
    """A converted file in which the channels of every tensor are known, so that it can be cut to narrower widths."""

    @property
    def size(self) -> FileSize:
        """What the file is made of; it is at most as large as this says."""

    def write(self, widths: Mapping[str, int]) -> bytes:
        """The file at these widths, which are at most those that it was converted at."""


class Format(Protocol):
    """A format of model files. Its methods load the libraries that they need; having the object loads none."""

    name: FormatName
    converter: str
    """The Python package whose version decides what a conversion gives."""
    image_layout: Literal["NHWC", "NCHW"]
    """The order of the input's axes in files that edgewidth writes."""

    def recognises(self, content: bytes) -> bool:
        """Whether the beginning of a file says that it is of this format; the file may still be damaged."""

    def convert(
        self,
        network: NetworkSpec,
        widths: Mapping[str, int],
        weights: FoldedWeights,
        *,
        precisions: Sequence[Precision],
        calibration: NDArray[np.uint8] | None,
        progress: Progress,
    ) -> dict[Precision, bytes]:
        """The network as files, one for every precision asked for.

        Args:
            network: The layers.
            widths: The width of every width variable.
            weights: Folded weights of these widths.
            precisions: ``int8`` needs calibration images.
            calibration: Images uint8 (n, height, width, channels), from the training data.
            progress: Where to report to.

        Raises:
            MissingPackageError: The converter is not installed.
            MismatchError: The weights are not those of this network.
            InputError: Calibration images are missing or have another shape.
            SurroundingsError: The converter failed.
        """

    def layout(self, content: bytes, network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> Layout:
        """A file that ``convert`` made of these weights, ready to be cut.

        Raises:
            FileError: It is damaged.
            MismatchError: It is not this network.
        """

    def load(self, content: bytes) -> LoadedModel:
        """A file of any maker, loaded by the format's runtime on this machine.

        Raises:
            FileError: It is damaged, or has operators that the runtime does not know.
        """

    def annotate(self, content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
        """The file with a description of its input and output, for edgewidth and in the words that other tools read."""

    def metadata_bytes(self, output_names: Sequence[str]) -> int:
        """How much larger ``annotate`` makes a file, at most."""

    def trial(self) -> bytes:
        """The network that a device is tried out with (``edgewidth.formats.trial``), made without the converter."""
