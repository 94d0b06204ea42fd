"""What edgewidth does with model files, whatever their format: the protocol that every format fulfils.

A new format is a folder beside ``tflite`` and ``onnx`` with a class that fulfils ``Format``, a name in ``FormatName``
and an object in ``registry``. Which runtimes execute it, ``records.measurement`` says; what loads it on a device is in
``devices.on_device.runtimes``, and what the fake device reads of it in ``devices.fake.operators``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.formats.conversion import Conversion
    from edgewidth.formats.sizes import FileSize
    from edgewidth.records.artifact import ArtifactMetadata, Quantisation
    from edgewidth.records.inputs import Entry
    from edgewidth.records.measurement import FilePrecision, FormatName, OperatorWork, Precision
    from edgewidth.tasks.task import FileText


class TensorFacts(NamedTuple):
    """An input or output.

    In ``shape`` a size that the file leaves open is -1; None: how many sizes there are is open too. ``dtype`` is
    NumPy's name, or the format's own where NumPy has none, such as ``string`` or ``bfloat16``.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    quantisation: Quantisation | None = None


class ModelFacts(NamedTuple):
    """What a model file says of itself.

    ``precision`` is that of what is multiplied with weights. ``metadata`` is None for a file that edgewidth did not
    make. ``custom_operators`` are those that are not the format's own. ``entries`` are the places where the file can be
    entered, first that where its runtime does by itself; inputs, outputs and precision are those of ``entry``.
    """

    format: FormatName
    precision: FilePrecision
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    metadata: ArtifactMetadata | None
    custom_operators: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    entry: Entry | None = None


class LoadedModel(Protocol):
    """A model file loaded by its format's runtime, to be run in one thread on one core."""

    def clone(self) -> Self:
        """The same file loaded again, for another thread."""

    def run(self, value: NDArray[Any]) -> NDArray[Any]:
        """The first output for one input, both as stored and with their batch axis."""


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

    def convert(self, conversion: Conversion) -> dict[Precision, bytes]:
        """The network as files, one for every precision asked for.

        Raises:
            MissingPackageError: The converter is not installed.
            MismatchError: The weights are not those of this network.
            InputError: Calibration images are missing or have another shape.
            SurroundingsError: The converter failed.
        """

    def layout(self, content: bytes, conversion: Conversion) -> Layout:
        """One of the files that ``convert`` made, ready to be cut.

        Raises:
            FileError: It is damaged.
            MismatchError: It is not this network.
        """

    def facts(self, content: bytes, signature: str | None = None) -> ModelFacts:
        """What a file of any maker says of itself, read without a runtime: one that is damaged may kill a runtime.

        ``signature`` is the name of the entry that is asked about; None: the first.

        Raises:
            FileError: It is damaged, so far as can be seen.
            InputError: It has no entry of that name.
        """

    def work(self, content: bytes) -> tuple[OperatorWork, ...]:
        """What the operators of a file of any maker cost, in the file's order; empty where that cannot be told."""

    def gathered(self, content: bytes, path: Path) -> bytes:
        """The file at ``path`` with what it keeps in other files of its folder, as one.

        Raises:
            FileError: Such a file is not there, is outside of the folder, or all is too large for one file.
        """

    def load(self, content: bytes) -> LoadedModel:
        """A file that edgewidth made, loaded by the format's runtime on this machine.

        Raises:
            FileError: It is damaged, or has operators that the runtime does not know.
        """

    def annotate(self, content: bytes, metadata: ArtifactMetadata, text: FileText) -> bytes:
        """The file with a description of its input and output, for edgewidth and in the words that other tools read."""

    def metadata_bytes(self, output_names: Sequence[str]) -> int:
        """How much larger ``annotate`` makes a file, at most."""

    def trial(self) -> bytes:
        """The network that a device is tried out with (``edgewidth.formats.folded``), made without the converter."""
