"""What an operator says of itself: everything that is known of a layer without a framework."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edgewidth.documents import Record
from edgewidth.graph.operators.activation import Activation
from edgewidth.graph.widths import Segment, variables_of

if TYPE_CHECKING:
    from edgewidth.graph.widths import Axes, Channels, TensorShape

NORM_EPSILON = 1e-3
"""Added to the variance in batch normalisation, as Keras and TensorFlow's MobileNet have it; torch has 1e-5."""

Epsilon = Annotated[float, Field(gt=0)]

NewChannels = Segment | Annotated[tuple[Segment, ...], Field(min_length=1)]
"""The channels that a layer makes: one segment, or several where other layers tell them apart."""


class Part(NamedTuple):
    """One summand of a layer's work: a segment that is read, and the segment that it contributes to."""

    source: Segment
    target: Segment
    in_pixels: int
    """How many elements of each channel of ``source`` are read."""


class Operator(Record, ABC):
    """What a layer computes: its attributes, and what follows from them. A subclass is one operator.

    Its activation comes last, after batch normalisation where there is one. A framework's tables are keyed by the
    class, and JSON names it with ``op``.
    """

    least_inputs: ClassVar[int] = 1
    most_inputs: ClassVar[int | None] = 1
    """None: any number."""
    mixes: ClassVar[bool] = False
    """Whether every output channel is computed from all input channels; such a layer makes channels of its own."""

    op: str
    activation: Activation = "none"

    @model_serializer(mode="wrap")
    def _keep_op(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = dump(self)
        return {"op": self.op} | fields  # also where defaults are left out

    def output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        """What comes out for these inputs.

        Raises:
            ValueError: They do not fit; the message is a clause that follows the layer's name.
        """
        if len(inputs) < self.least_inputs or (self.most_inputs is not None and len(inputs) > self.most_inputs):
            least = "" if self.least_inputs == self.most_inputs else "at least "
            raise ValueError(f"{self.op} takes {least}{self.least_inputs} input(s), not {len(inputs)}")
        return self._output_shape(inputs)

    @abstractmethod
    def _output_shape(self, inputs: Sequence[TensorShape]) -> TensorShape:
        """The same for as many inputs as the operator takes."""

    def kernel_axes(self, inputs: Sequence[TensorShape]) -> Axes:
        """The axes of the kernel: the output's channels, what one of them reads, then height and width.

        An operator with one weight for each channel has one axis, and one without weights none.
        """
        del inputs
        return ()

    @property
    def normalised(self) -> bool:
        """Whether batch normalisation is a part of it."""
        return False

    @property
    def biased(self) -> bool:
        """Whether a number is added to each output channel: a bias, or batch normalisation's shift."""
        return self.normalised

    @property
    def kind(self) -> str:
        """What operators have in common whose latency depends on shapes alone, such as ``conv1x1``."""
        return self.op

    @property
    def taps(self) -> int:
        """Elements of the kernel for each pair of channels, or for each channel where channels are not mixed."""
        return 1

    def parts(self, inputs: Sequence[TensorShape], output: TensorShape) -> tuple[Part, ...]:
        """The summands of the work. Work is a sum over the segments that are read, so each has at most two widths."""
        if self.mixes:
            source = inputs[0]
            return tuple(Part(a, b, source.pixels) for a in source.channels for b in output.channels)
        pixels = sum(source.pixels for source in inputs)
        return tuple(Part(segment, segment, pixels) for segment in output.channels)

    def initial(self, normal: Any, fan_in: int) -> Any:
        """A random kernel to start from, given an array of standard normal numbers; ``fan_in``: inputs of an output.

        Of variance 2 / fan-in, as suits a rectifier (He et al. 2015, arXiv 1502.01852).
        """
        return normal * math.sqrt(2 / fan_in)


class Affine(Operator):
    """What convolutions and fully connected layers share: what follows the product with the kernel.

    ``affine`` is batch normalisation, a bias for each channel, or nothing.
    """

    affine: Literal["batch_norm", "bias", "none"] = "batch_norm"
    epsilon: Epsilon = NORM_EPSILON

    @property
    def normalised(self) -> bool:
        """Whether batch normalisation follows."""
        return self.affine == "batch_norm"

    @property
    def biased(self) -> bool:
        """Whether batch normalisation or a bias follows."""
        return self.affine != "none"


def channels_of(width: NewChannels) -> Channels:
    """The segments of the channels that a layer makes."""
    return width if isinstance(width, tuple) else (width,)


def single_size(op: str, inputs: Sequence[TensorShape]) -> tuple[int, ...]:
    """The size that all inputs have.

    Raises:
        ValueError: They have several.
    """
    sizes = {source.size for source in inputs}
    if len(sizes) != 1:
        raise ValueError(f"{op} takes inputs of equal size, not of different sizes {sorted(sizes)}")
    return sizes.pop()


def map_size(op: str, source: TensorShape) -> tuple[int, int]:
    """Height and width of an input that must be a map.

    Raises:
        ValueError: It is a vector.
    """
    if len(source.size) != 2:
        raise ValueError(f"{op} takes a map, and its input is a vector")
    return source.size[0], source.size[1]


def fixed_channels(op: str, source: TensorShape) -> tuple[int, ...]:
    """The segments of an input whose channels must be fixed numbers.

    Raises:
        ValueError: A width variable is among them.
    """
    searched = variables_of(source.channels)
    if searched:
        raise ValueError(f"{op} takes channels of fixed number, and {searched[0]} is a width variable")
    return tuple(segment for segment in source.channels if isinstance(segment, int))
