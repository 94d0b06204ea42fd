"""Reading and writing .tflite files as flatbuffers, fast enough to make thousands of variants.

A flatbuffer's tables point to their vectors by relative offsets, and where a vector lies is free. Everything whose
length depends on a width (weights, biases, scales) is written at the end, behind a small skeleton that stays the same;
making a variant copies the skeleton, sets the offsets and the tensor shapes, and copies the slices: no table is built.
Format: https://flatbuffers.dev/internals and the TFLite schema, version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table

from edgewidth.errors import FileError
from edgewidth.formats.folded import cut
from edgewidth.formats.sizes import Choice, FileSize, StoredArray
from edgewidth.formats.tflite import IDENTIFIER
from edgewidth.graph.widths import Cuts, lengths, total, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.widths import Axes, Channels, Widths

ALIGNMENT = 16
"""The schema's ``force_align`` of buffer data, which the Python builder does not know."""

LEAST_ROUNDED = 1024
"""In dynamic int8 the converter leaves a kernel with fewer numbers in float32."""

# Positions in the tables' vtables: 4 + 2 × the field's place in the schema.
_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 8, 12
_SUBGRAPH_TENSORS = 4
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_QUANTIZATION = 4, 6, 12
_BUFFER_DATA = 4
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT = 8, 10


Counts = tuple[tuple[int, "Channels"], ...]
"""Numbers in a constant that say how many channels there are: their places, and the channels that each counts."""


class _Content(NamedTuple):
    """All that a vector holds, and what each axis is cut to."""

    numbers: NDArray[Any]
    axes: Axes

    @property
    def stored(self) -> StoredArray:
        """What it takes in a file: the four bytes before it hold its length."""
        return StoredArray(self.axes, self.numbers.itemsize, 4, ALIGNMENT)


_NOTHING = _Content(np.zeros(0, np.uint8), ((0,),))


class _Vector(NamedTuple):
    """A vector at the end: where its offset is stored, and its content.

    ``unit_bytes`` is what its length counts: single bytes for buffers, whatever they hold. ``counts`` are the numbers
    in it, all of them int32, that count channels. Where a kernel with the axes ``rounded`` is too small to be rounded,
    ``otherwise`` is the content.
    """

    field: int
    content: _Content
    unit_bytes: int
    counts: Counts = ()
    rounded: Axes | None = None
    otherwise: _Content = _NOTHING

    def at(self, widths: Widths) -> _Content:
        """What it holds at some widths, uncut."""
        return self.content if self.rounded is None or _is_rounded(self.rounded, widths) else self.otherwise

    @property
    def stored(self) -> StoredArray | Choice:
        """What it takes in a file."""
        if self.rounded is None:
            return self.content.stored
        return Choice(self.rounded, LEAST_ROUNDED, self.content.stored, self.otherwise.stored)


def _is_rounded(kernel: Axes, widths: Widths) -> bool:
    return math.prod(lengths(kernel, widths)) >= LEAST_ROUNDED


_DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.INT8: np.dtype("i1"),
}


def read_model(content: bytes) -> Any:
    """The file as the schema's ``ModelT``, every constant inline in a buffer of its tensor's own.

    Some writers put constants behind the flatbuffer (``Buffer.offset``), and let equal ones share a buffer.

    Raises:
        FileError: It is no .tflite file, or a damaged one.
    """
    if content[4:8] != IDENTIFIER:
        raise FileError("This is not a .tflite file.")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise FileError("This .tflite file is damaged or cut short.") from error
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 both mean that the data is inline
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    _unshare_buffers(model)
    return model


def _unshare_buffers(model: Any) -> None:
    taken: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if tensor.buffer in taken and data is not None and len(data):
                model.buffers.append(schema.BufferT(data))
                tensor.buffer = len(model.buffers) - 1
            taken.add(tensor.buffer)


class Layout:
    """A .tflite file ready to be written at any widths.

    Args:
        model: A ``ModelT`` from ``read_model``, at the maximum widths; it is used up.
        labels: By index of a tensor in the first subgraph, what its axes are; a tensor that is not named stays whole.
        widest: The maximum widths.
        counts: By index of a constant in the first subgraph, which of its numbers count channels.
        rounded: The labelled int8 kernels that are multiplied with floating-point numbers: narrow ones are float32.
    """

    def __init__(
        self,
        model: Any,
        labels: Mapping[int, Axes],
        widest: Widths,
        counts: Mapping[int, Counts] | None = None,
        rounded: Collection[int] = (),
    ) -> None:
        self._widest = widest
        exact = {index: _exact(model, model.subgraphs[0].tensors[index]) for index in rounded}
        buffers = _take_buffers(model, labels)
        scales = _take_scales(model, labels, rounded)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        self._skeleton = bytes(builder.Output())
        root = _root(self._skeleton)
        buffer_tables = _children(root, _MODEL_BUFFERS)
        tensor_tables = _children(_children(root, _MODEL_SUBGRAPHS)[0], _SUBGRAPH_TENSORS)
        self._vectors = []
        for index, owner, content in buffers:
            vector = _Vector(_field(buffer_tables[index], _BUFFER_DATA), content, 1, (counts or {}).get(owner, ()))
            if owner in exact:
                vector = vector._replace(rounded=content.axes, otherwise=_Content(exact[owner], content.axes))
            self._vectors.append(vector)
        self._shape_entries: dict[Channels, list[int]] = {}
        """Where a tensor's shape counts these channels."""
        for index, axes in labels.items():
            table = tensor_tables[index]
            start = table.Vector(table.Offset(_TENSOR_SHAPE))
            for place, axis in enumerate(axes):
                if variables_of(axis):
                    self._shape_entries.setdefault(axis, []).append(start + 4 * place)
        for index, slot, content in scales:
            tensor = tensor_tables[index]
            quantization = Table(tensor.Bytes, tensor.Indirect(_field(tensor, _TENSOR_QUANTIZATION)))
            kernel = labels[index] if index in exact else None
            vector = _Vector(_field(quantization, slot), content, content.numbers.itemsize, rounded=kernel)
            self._vectors.append(vector)
        self._types = [(_field(tensor_tables[index], _TENSOR_TYPE), labels[index]) for index in rounded]
        """Where the type of a kernel stands that may be rounded, and the kernel's axes."""

    @property
    def size(self) -> FileSize:
        """The skeleton up to where the first vector may begin, and the vectors: behind the last nothing is aligned."""
        fixed = -(-(len(self._skeleton) + 4) // ALIGNMENT) * ALIGNMENT - 4
        return FileSize(fixed, tuple(vector.stored for vector in self._vectors))

    def write(self, widths: Widths) -> bytes:
        """The file at these widths: of every axis that holds channels, the first of every segment."""
        cuts = Cuts(widths, self._widest)
        wholes = [vector.at(widths) for vector in self._vectors]
        parts = [cut(whole.numbers, cuts.of(whole.axes)) for whole in wholes]
        starts, end = self._starts(parts)
        content = np.zeros(end, np.uint8)
        content[: len(self._skeleton)] = np.frombuffer(self._skeleton, np.uint8)
        raw = content.data
        for position, kernel in self._types:
            raw[position] = schema.TensorType.INT8 if _is_rounded(kernel, widths) else schema.TensorType.FLOAT32
        for channels, positions in self._shape_entries.items():
            length = total(channels, widths)
            for position in positions:
                struct.pack_into("<i", raw, position, length)
        for vector, part, start in zip(self._vectors, parts, starts, strict=True):
            struct.pack_into("<I", raw, vector.field, start - 4 - vector.field)
            struct.pack_into("<I", raw, start - 4, part.nbytes // vector.unit_bytes)
            content[start : start + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
            for place, channels in vector.counts:
                struct.pack_into("<i", raw, start + 4 * place, total(channels, widths))
        return content.tobytes()

    def _starts(self, parts: Sequence[NDArray[Any]]) -> tuple[list[int], int]:
        starts, cursor = [], len(self._skeleton)
        for part in parts:
            start = -(-(cursor + 4) // ALIGNMENT) * ALIGNMENT  # the 4 bytes before it hold the length
            cursor = start + part.nbytes
            starts.append(start)
        return starts, cursor


def write_model(model: Any) -> bytes:
    """A ``ModelT`` from ``read_model`` as a file, its buffers aligned as the schema asks; the model is used up."""
    return Layout(model, {}, {}).write({})


def tensor_data(model: Any, tensor: Any) -> NDArray[Any]:
    """A constant tensor's stored numbers, in its shape."""
    data: NDArray[np.uint8] = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    stored: NDArray[Any] = data.view(_DTYPES[tensor.type])
    return stored.reshape(tensor.shape)


def real_numbers(model: Any, tensor: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A constant tensor's numbers, and one step of its rounding for each: 0 in float32."""
    stored = tensor_data(model, tensor)
    if stored.dtype == np.float32:
        return stored, np.zeros((), np.float32)
    if stored.dtype == np.float16:
        return stored.astype(np.float32), np.spacing(np.abs(stored)).astype(np.float32)
    along = [1] * stored.ndim
    along[tensor.quantization.quantizedDimension] = -1
    scale = np.asarray(tensor.quantization.scale, np.float32).reshape(along)
    return stored * scale, scale


def _exact(model: Any, tensor: Any) -> NDArray[np.float32]:
    numbers, _ = real_numbers(model, tensor)
    return np.ascontiguousarray(numbers, "<f4")


def _take_buffers(model: Any, labels: Mapping[int, Axes]) -> list[tuple[int, int, _Content]]:
    """Every constant with its buffer's index and its tensor's; in the model one byte stays in its place."""
    tensors = model.subgraphs[0].tensors
    owners = {tensor.buffer: index for index, tensor in enumerate(tensors)}
    taken = []
    for index, buffer in enumerate(model.buffers):
        if buffer.data is None or not len(buffer.data):
            continue
        owner = owners.get(index, -1)
        if owner in labels:
            content = _Content(tensor_data(model, tensors[owner]), labels[owner])
        else:
            content = _Content(np.asarray(buffer.data, np.uint8), ((len(buffer.data),),))
        taken.append((index, owner, content))
        buffer.data = np.zeros(1, np.uint8)
    return taken


def _take_scales(model: Any, labels: Mapping[int, Axes], rounded: Collection[int]) -> list[tuple[int, int, _Content]]:
    """Scales and zero points with their tensor's index and their slot; one element stays in the place of each.

    They are those that there are one of for each channel, and those that may have to go.
    """
    taken: list[tuple[int, int, _Content]] = []
    for index, axes in labels.items():
        quantization = model.subgraphs[0].tensors[index].quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            continue
        each = len(quantization.scale) > 1
        if not each and index not in rounded:
            continue
        axis = (axes[quantization.quantizedDimension] if each else (1,),)
        taken.append((index, _QUANTIZATION_SCALE, _Content(np.asarray(quantization.scale, "<f4"), axis)))
        taken.append((index, _QUANTIZATION_ZERO_POINT, _Content(np.asarray(quantization.zeroPoint, "<i8"), axis)))
        quantization.scale, quantization.zeroPoint = np.zeros(1, np.float32), np.zeros(1, np.int64)
        quantization.min = quantization.max = None  # what calibration saw; no runtime reads it
    return taken


def _root(content: bytes) -> Table:
    return Table(content, struct.unpack_from("<I", content)[0])


def _field(table: Table, slot: int) -> int:
    return int(table.Pos + table.Offset(slot))


def _children(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(slot)
    start, count = table.Vector(offset), table.VectorLen(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]
