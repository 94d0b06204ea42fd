"""What the operators of a .tflite file that have no kernel do with the axes of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ai_edge_litert import schema_py_generated as schema

from edgewidth.errors import MismatchError
from edgewidth.graph.widths import lengths, resolve, total, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.formats.tflite.file import Counts
    from edgewidth.graph.widths import Axes, Channels, Widths

_BUILTIN = schema.BuiltinOperator


class Step(NamedTuple):
    """An operator whose output is to be labelled."""

    options: Any
    axes: Sequence[Axes]
    """Of every input; of a constant, empty."""
    numbers: Mapping[int, NDArray[Any]]
    """The constants among the inputs, by their place."""
    shape: tuple[int, ...]
    """The output's."""
    widths: Widths
    """Those of the file."""


class Labels(NamedTuple):
    """What a rule finds: the output's axes, those of constants that are cut, what the numbers in others count."""

    output: Axes
    constants: Mapping[int, Axes] = {}
    counts: Mapping[int, Counts] = {}


def operator_name(code: int) -> str:
    """The name of an operator in TFLite's schema."""
    return next((name for name, value in vars(_BUILTIN).items() if value == code), f"number {code}")


def _same(step: Step) -> Labels:
    """Of operators on single elements."""
    return Labels(step.axes[0])


def _broadcast(step: Step) -> Labels:
    """Of operators on pairs of elements; what is missing in one input, or has the length 1, goes with everything."""
    rank = len(step.shape)
    known = [axes for place, axes in enumerate(step.axes) if place not in step.numbers]
    padded = [((1,),) * (rank - len(axes)) + tuple(axes) for axes in known]
    output = tuple(next((axis for axis in along if axis != (1,)), (1,)) for along in zip(*padded, strict=True))
    output = tuple(axis if variables_of(axis) else (length,) for axis, length in zip(output, step.shape, strict=True))
    constants = {}
    for place, numbers in step.numbers.items():
        along = output[rank - numbers.ndim :]
        constants[place] = tuple(
            axis if length > 1 or lengths((axis,), step.widths) == (1,) else (1,)
            for axis, length in zip(along, numbers.shape, strict=True)
        )
    return Labels(output, constants)


def _in_space(step: Step) -> Labels:
    """Of operators that change the size of a map: the axis of its channels stays."""
    (*_, channels), (*size, _) = step.axes[0], step.shape
    return Labels((*((length,) for length in size), channels))


def _reduce(step: Step) -> Labels:
    rank = len(step.axes[0])
    gone = {int(axis) % rank for axis in step.numbers[1].reshape(-1)}
    kept = [(1,) if place in gone else axis for place, axis in enumerate(step.axes[0])]
    if not step.options.keepDims:
        kept = [axis for place, axis in enumerate(kept) if place not in gone]
    return Labels(tuple(kept))


def _concatenate(step: Step) -> Labels:
    place = step.options.axis % len(step.shape)
    joined = tuple(segment for axes in step.axes for segment in axes[place])
    return Labels((*step.axes[0][:place], joined, *step.axes[0][place + 1 :]))


def _transpose(step: Step) -> Labels:
    return Labels(tuple(step.axes[0][int(place)] for place in step.numbers[1]))


def _reshape(step: Step) -> Labels:
    """Channels that are searched must stay together in the last axis."""
    channels = step.axes[0][-1]
    if any(variables_of(axis) for axis in step.axes[0][:-1]):
        raise MismatchError("The converted network reshapes a tensor whose channels are not in its last axis.")
    output: Axes = tuple((length,) for length in step.shape)
    if not variables_of(channels):
        return Labels(output)
    if step.shape[-1] != total(channels, step.widths):
        raise MismatchError("The converted network reshapes searched channels into something else.")
    if step.options is not None:
        step.options.newShape = None  # the same as in the second input, where it can follow the widths
    counted = ((len(step.shape) - 1, channels),) if step.numbers[1].reshape(-1)[-1] >= 0 else ()
    return Labels((*output[:-1], channels), counts={1: counted})


def _slice(step: Step) -> Labels:
    begins, sizes = (step.numbers[place].reshape(-1) for place in (1, 2))
    output, counted_begins, counted_sizes = [], [], []
    for place, axis in enumerate(step.axes[0]):
        before, rest = _divided(axis, int(begins[place]), step.widths)
        inside, _ = _divided(rest, step.shape[place], step.widths)
        output.append(inside)
        if variables_of(before):
            counted_begins.append((place, before))
        if variables_of(inside) and sizes[place] >= 0:
            counted_sizes.append((place, inside))
    return Labels(tuple(output), counts={1: tuple(counted_begins), 2: tuple(counted_sizes)})


def _divided(channels: Channels, first: int, widths: Widths) -> tuple[Channels, Channels]:
    """The segments that make up the ``first`` channels, and the others; a fixed one may be divided itself."""
    left: list[int | str] = []
    for place, segment in enumerate(channels):
        length = resolve(segment, widths)
        if first == 0:
            return tuple(left), channels[place:]
        if length > first:
            if isinstance(segment, str):
                raise MismatchError(f"The converted network slices amid the channels of {segment}.")
            return (*left, first), (length - first, *channels[place + 1 :])
        left.append(segment)
        first -= length
    return tuple(left), ()


_BY_RULE: dict[Callable[[Step], Labels], tuple[str, ...]] = {
    _same: (
        *("QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "ELU"),
        *("LOGISTIC", "TANH", "GELU", "HARD_SWISH", "NEG"),
    ),
    _broadcast: ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU"),
    _in_space: (
        *("PAD", "MIRROR_PAD", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
        *("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"),
    ),
    _reduce: ("MEAN", "REDUCE_MAX"),
    _concatenate: ("CONCATENATION",),
    _transpose: ("TRANSPOSE",),
    _reshape: ("RESHAPE",),
    _slice: ("SLICE",),
}
RULES: dict[int, Callable[[Step], Labels]] = {
    getattr(_BUILTIN, name): rule for rule, names in _BY_RULE.items() for name in names
}
"""The rule of each operator without a kernel, by its number in TFLite's schema."""
