"""What a model file of any maker is measured with: a shape and values for each of its inputs."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.errors import InputError
from edgewidth.files import ARCHIVE_ERRORS
from edgewidth.records.inputs import Feed, Fill, ModelInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.formats.format import TensorFacts

Shapes = Mapping[str, tuple[int, ...]]
"""By an input's name; under "" that of the only one."""
OPEN = -1
LARGEST_BYTES = 1 << 30
"""An input is at most so large: values are made in memory."""
WIDE = {"int32", "int64", "uint16", "uint32", "uint64"}
"""Whole numbers that rarely are quantities: ids, lengths, masks. Zero is one of each."""
_STRING = "string"
_NUMBERS = {"float16", "float32", "float64", "int8", "uint8", "int16", "bool", *WIDE}


def choose_feed(inputs: Sequence[TensorFacts], shapes: Shapes, values: Fill | Path | None) -> Feed:
    """A shape and values for each input.

    Sizes that the file leaves open come from ``shapes`` or from the values that are given; an open batch, the first
    of several sizes, is 1 unless they say otherwise. Without ``values`` floating-point numbers, 8-bit and 16-bit
    integers and truth values are random, and wider integers zeros, since only who knows the model knows which ids
    there are.

    Raises:
        InputError: A size stays open, a name or a size does not fit, or values are needed that cannot be made up.
    """
    given = _read(values, inputs) if isinstance(values, Path) else {}
    wanted = _by_name(shapes, inputs)
    for one in inputs:
        _check_type(one, given=one.name in given)
    sizes = {one.name: _shape(one, wanted.get(one.name), given.get(one.name)) for one in inputs}
    if unknown := [f"{one.name} is {_text(sizes[one.name])}" for one in inputs if _is_open(sizes[one.name])]:
        raise InputError(
            f"The model leaves sizes open: {', '.join(unknown)}. Its latency depends on them.",
            remedy=f"Say which are meant: {_example(inputs, sizes)}.",
        )
    fill = values if isinstance(values, Fill) else None
    chosen = tuple(_chosen(one, sizes[one.name] or (), one.name in given, fill) for one in inputs)
    return Feed(chosen, _packed([given.get(one.name) for one in inputs]))


def _by_name(shapes: Shapes, inputs: Sequence[TensorFacts]) -> Shapes:
    names = [one.name for one in inputs]
    found = {(names[0] if not name and len(names) == 1 else name): shape for name, shape in shapes.items()}
    for name, shape in found.items():
        if name not in names:
            told = ", ".join(names) or "none"
            which = f"no input {name}" if name else "several inputs"
            raise InputError(
                f"The model has {which}; its inputs are {told}.",
                remedy=f"`input_shape=NAME={'x'.join(map(str, shape))}`" if names else None,
            )
    return found


def _shape(one: TensorFacts, wanted: tuple[int, ...] | None, given: NDArray[Any] | None) -> tuple[int, ...] | None:
    """The sizes of an input, -1 where one is not known; None: nothing is known."""
    chosen = given.shape if given is not None else wanted
    if given is not None and wanted is not None and given.shape != wanted:
        raise InputError(f"The values of {one.name} are {_text(given.shape)}, and not {_text(wanted)}.")
    if chosen is None:
        batch_open = one.shape is not None and len(one.shape) > 1 and one.shape[0] == OPEN
        return (1, *one.shape[1:]) if batch_open and one.shape else one.shape
    fits = one.shape is None or (
        len(one.shape) == len(chosen) and all(a in {OPEN, b} for a, b in zip(one.shape, chosen, strict=True))
    )
    if not fits:
        raise InputError(f"The input {one.name} is {_text(one.shape)}, and cannot be {_text(chosen)}.")
    return chosen


def _check_type(one: TensorFacts, *, given: bool) -> None:
    if one.dtype not in {*_NUMBERS, _STRING}:
        raise InputError(f"The input {one.name} takes {one.dtype}, with which edgewidth cannot measure.")
    if one.dtype == _STRING and not given:
        raise InputError(
            f"The input {one.name} takes text, which cannot be made up.",
            remedy=f"Give some: `input_values=FILE.npz`, with an array of text under the name {one.name}.",
        )


def _chosen(one: TensorFacts, shape: tuple[int, ...], given: bool, fill: Fill | None) -> ModelInput:
    size = math.prod(shape) * (1 if one.dtype == _STRING else np.dtype(one.dtype).itemsize)
    if size > LARGEST_BYTES:
        raise InputError(f"The input {one.name} of {_text(shape)} takes {size / 1e9:.3g} GB.")
    usual = Fill.ZEROS if one.dtype in WIDE else Fill.RANDOM
    return ModelInput(
        name=one.name,
        shape=shape,
        dtype=one.dtype,
        values=Fill.GIVEN if given else fill or usual,
        opened=one.shape is None
        or any(a == OPEN and (i or b != 1) for i, (a, b) in enumerate(zip(one.shape, shape, strict=True))),
    )


def _read(path: Path, inputs: Sequence[TensorFacts]) -> dict[str, NDArray[Any]]:
    """The values of an ``.npz``, by the names of the inputs; a single array may have any name.

    Raises:
        InputError: It is none, or its arrays are not those of the inputs.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is one array and no .npz.", remedy="Write it with numpy.savez(path, NAME=…).")
        with file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there.", remedy="Write zeros, random or a file.npz.") from error
    except ARCHIVE_ERRORS as error:
        raise InputError(f"{path} cannot be read as an .npz of numbers or text: {error}.") from error
    if len(found) == len(inputs) == 1:
        found = {inputs[0].name: next(iter(found.values()))}
    if unknown := found.keys() - {one.name for one in inputs}:
        names = ", ".join(one.name for one in inputs)
        raise InputError(f"{path} has values for {min(unknown)}, which is no input; the inputs are {names}.")
    return {one.name: _converted(one, found[one.name]) for one in inputs if one.name in found}


def _converted(one: TensorFacts, values: NDArray[Any]) -> NDArray[Any]:
    """The values in the type of the input, if none of them changes by that but floating-point ones by rounding."""
    if one.dtype == _STRING:
        if values.dtype.kind not in "US":
            raise InputError(f"The input {one.name} takes text, and its values are {values.dtype}.")
        return values
    if one.dtype not in _NUMBERS:
        return values
    with np.errstate(all="ignore"):
        found = values.astype(one.dtype) if values.dtype.kind in "biuf" else None
        if found is None or (found.dtype.kind != "f" and not np.array_equal(found, values)):
            raise InputError(f"The input {one.name} takes {one.dtype}, and its values are {values.dtype}.")
    return found


def _packed(values: Sequence[NDArray[Any] | None]) -> bytes:
    arrays = {str(place): array for place, array in enumerate(values) if array is not None}
    if not arrays:
        return b""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _is_open(shape: tuple[int, ...] | None) -> bool:
    return shape is None or OPEN in shape


def _text(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "of any shape"
    return "×".join("?" if size == OPEN else str(size) for size in shape) or "one number"


def _example(inputs: Sequence[TensorFacts], sizes: Mapping[str, tuple[int, ...] | None]) -> str:
    """What to type for all that are open; images that people have are 224 pixels a side."""
    found = []
    for one in inputs:
        if _is_open(shape := sizes[one.name]):
            text = "x".join("224" if size == OPEN else str(size) for size in shape or (1, 3, OPEN, OPEN))
            found.append(f"`input_shape={text if len(inputs) == 1 else f'{one.name}={text}'}`")
    return " ".join(found)
