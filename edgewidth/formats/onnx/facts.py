"""What an .onnx file says of itself, read as a protocol buffer: no runtime sees it, so that none can fall over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it comes with onnx

from edgewidth.errors import FileError, InputError
from edgewidth.formats.format import ModelFacts, TensorFacts
from edgewidth.formats.onnx.metadata import read_onnx_metadata
from edgewidth.records.measurement import (
    FilePrecision,
    FormatName,
    OtherPrecision,
    Precision,
    overall_precision,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPEN = -1
_WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""Operators that multiply by weights, and which of their inputs these are."""
_INTEGERS = ("QLinearConv", "QLinearMatMul", "QGemm")
_DYNAMIC = ("ConvInteger", "MatMulInteger", "DynamicQuantize")
_WIDE = {"int16", "uint16"}
_STORED = {"float": "float32", "double": "float64"}
"""Protocol buffer's words that are not NumPy's."""


def read_onnx(content: bytes) -> onnx.ModelProto:
    """The file as a protocol buffer.

    Raises:
        FileError: It is none, or has no graph.
    """
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise FileError("It is not an .onnx file, or it is damaged or cut short.") from error
    if not model.graph.node:
        raise FileError("It is not an .onnx file, or it has no operators.")
    if any(isinstance(name, bytes) for name in _names(model.graph)):
        raise FileError("It is damaged: a name in it is no text.")
    return model


def _names(graph: Any) -> Iterator[object]:
    """Every name in a graph; a protocol buffer gives bytes for what is no text."""
    for node in graph.node:
        yield from (node.op_type, node.domain, *node.input, *node.output)
    for one in (*graph.initializer, *graph.input, *graph.output):
        yield one.name


def onnx_facts(content: bytes, signature: str | None = None) -> ModelFacts:
    """See ``Format.facts``."""
    if signature is not None:
        raise InputError("An .onnx file has one graph that is run, and no signatures.", remedy="Leave `signature` out.")
    model = read_onnx(content)
    constants = {one.name for one in model.graph.initializer}
    try:
        precision = _precision(model.graph)
    except IndexError as error:
        raise FileError("It is damaged: an operator lacks an input.") from error
    return ModelFacts(
        format=FormatName.ONNX,
        precision=precision,
        inputs=tuple(_tensor_facts(one) for one in model.graph.input if one.name not in constants),
        outputs=tuple(map(_tensor_facts, model.graph.output)),
        metadata=read_onnx_metadata(model),
        custom_operators=tuple(sorted({f"{one.domain}.{one.op_type}" for one in model.graph.node if _custom(one)})),
    )


def _custom(node: Any) -> bool:
    return node.domain not in {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def _tensor_facts(value: Any) -> TensorFacts:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorFacts(name=value.name, shape=None, dtype=(kind or "nothing").removesuffix("_type"))
    tensor = value.type.tensor_type
    sizes = tensor.shape.dim if tensor.HasField("shape") else None
    return TensorFacts(
        name=value.name,
        shape=None if sizes is None else tuple(map(_size, sizes)),
        dtype=_dtype(tensor.elem_type),
    )


def _size(size: Any) -> int:
    """Some exporters write -1 for what they leave open."""
    return int(size.dim_value) if size.HasField("dim_value") and size.dim_value >= 0 else _OPEN


def _dtype(number: int) -> str:
    try:
        name = str(onnx.TensorProto.DataType.Name(number)).lower()
    except ValueError as error:
        raise FileError("It is damaged: a tensor has a type that there is not.") from error
    return _STORED.get(name, name)


def _precision(graph: Any) -> FilePrecision:
    """By what is multiplied with weights; without any, by whether anything is quantised."""
    makers = {output: node for node in graph.node for output in node.output}
    stored = {one.name: _dtype(one.data_type) for one in graph.initializer}
    tensors = (one for one in graph.input if one.type.HasField("tensor_type"))
    stored |= {one.name: _dtype(one.type.tensor_type.elem_type) for one in tensors}
    found: set[FilePrecision] = set()
    for node in graph.node:
        if node.op_type.startswith(_INTEGERS):
            found.add(Precision.INT8)
        elif node.op_type.startswith(_DYNAMIC):
            found.add(Precision.DYNAMIC_INT8)
        elif node.op_type in _WEIGHTED and len(node.input) > _WEIGHTED[node.op_type]:
            found.add(_multiplied(node, makers, stored))
    if found:
        return overall_precision(found)
    quantised = any("QuantizeLinear" in node.op_type for node in graph.node)
    return Precision.INT8 if quantised else Precision.FLOAT32


def _multiplied(node: Any, makers: Mapping[str, Any], stored: Mapping[str, str]) -> FilePrecision:
    source, weights = node.input[0], node.input[_WEIGHTED[node.op_type]]
    reader = makers.get(source)
    if reader is not None and reader.op_type == "DequantizeLinear":
        steps = stored.get(reader.input[2], "uint8") if len(reader.input) > 2 else "uint8"
        return OtherPrecision.INT16X8 if steps in _WIDE else Precision.INT8
    kept = makers.get(weights)
    weights = kept.input[0] if kept is not None and kept.op_type == "Cast" else weights
    return Precision.FLOAT16 if "float16" in {stored.get(weights), stored.get(source)} else Precision.FLOAT32
