"""What a loaded model file offers, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.records.artifact import ArtifactMetadata, Quantisation
    from edgewidth.records.measurement import FormatName, Precision


class TensorFacts(NamedTuple):
    """An input or output. ``dtype`` is NumPy's name; in ``shape`` a dimension that the file leaves open is -1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None


class ModelFacts(NamedTuple):
    """What a model file says of itself.

    ``precision`` is ``int8`` where activations are stored in 8 bits, else ``float32``. ``metadata`` is None for a
    file that edgewidth did not make.
    """

    format: FormatName
    precision: Precision
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    metadata: ArtifactMetadata | None


class LoadedModel(Protocol):
    """A model file loaded by its format's runtime, to be run in one thread on one core."""

    @property
    def facts(self) -> ModelFacts:
        """What the file says of itself."""

    def clone(self) -> Self:
        """The same file loaded again, for another thread."""

    def run(self, value: NDArray[Any]) -> NDArray[Any]:
        """The first output for one input, both as stored and with their batch axis."""
