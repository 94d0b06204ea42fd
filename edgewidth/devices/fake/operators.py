"""The operators of a model file and their shapes: what the fake device computes its latencies from."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from edgewidth.errors import InputError

_TFLITE_KINDS = {3: "conv", 4: "depthwise", 9: "dense"}
"""Numbers of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED in the TFLite schema's ``BuiltinOperator``."""
_TFLITE_INT8 = 9
_TFLITE_IDENTIFIER = b"TFL3"
_TFLITE_DEQUANTIZE = 6
_ONNX_KINDS = {"Gemm": "dense", "MatMul": "dense", "MatMulInteger": "dense", "Conv": "conv", "ConvInteger": "conv"}
_ONNX_FUSED = frozenset({"QuantizeLinear", "DequantizeLinear", "Clip", "Relu", "Constant", "Identity", "Cast"})


class Operator(NamedTuple):
    """One operator; heights and widths are 1 where the tensor has none. ``taps``: kernel height × width."""

    kind: str
    """``conv``, ``depthwise``, ``dense`` or ``other``."""
    in_height: int
    in_width: int
    in_channels: int
    out_height: int
    out_width: int
    out_channels: int
    taps: int
    bytes_per_value: int


def read_operators(content: bytes) -> list[Operator]:
    """The operators of a TFLite or ONNX file, in order.

    Raises:
        InputError: It is no such file.
    """
    is_tflite = content[4:8] == _TFLITE_IDENTIFIER
    try:
        operators = list(_tflite(content) if is_tflite else _onnx(content))
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"This is neither a TFLite nor an ONNX model: {error}.") from error
    if not operators:
        raise InputError("This is neither a TFLite nor an ONNX model: it has no operators.")
    return operators


def _tflite(content: bytes) -> Iterator[Operator]:
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - only the fake device needs it

    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = _TFLITE_KINDS.get(number, "other")
        source, target = graph.Tensors(operator.Inputs(0)), graph.Tensors(operator.Outputs(0))
        if number == _TFLITE_DEQUANTIZE and model.Buffers(source.Buffer()).DataLength():
            continue  # constants in float16, which become float32 as a file is loaded
        weights = _shape(graph.Tensors(operator.Inputs(1))) if kind != "other" else [1, 1, 1, 1]
        taps = weights[1] * weights[2] if len(weights) == 4 else 1
        size = 1 if source.Type() == _TFLITE_INT8 else 4
        yield Operator(
            kind, *_height_width_channels(_shape(source)), *_height_width_channels(_shape(target)), taps, size
        )


def _shape(tensor: Any) -> list[int]:
    return [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]


def _height_width_channels(shape: Sequence[int]) -> tuple[int, int, int]:
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else (1, 1, shape[-1] if shape else 1)


def _onnx(content: bytes) -> Iterator[Operator]:
    import onnx  # noqa: PLC0415 - only the fake device needs it
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    except (DecodeError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(str(error)) from error
    graph = model.graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [max(1, size.dim_value) for size in value.type.tensor_type.shape.dim]
    size = 1 if any(node.op_type == "QuantizeLinear" for node in graph.node) else 4
    for node in graph.node:
        if node.op_type not in _ONNX_FUSED:
            yield _onnx_operator(node, shapes, size)


def _onnx_operator(node: Any, shapes: Mapping[str, Sequence[int]], size: int) -> Operator:
    source, target = shapes[node.input[0]], shapes[node.output[0]]
    kind, taps = _ONNX_KINDS.get(node.op_type, "other"), 1
    if kind == "conv":
        weights = shapes[node.input[1]]  # (out, in / groups, height, width)
        kind, taps = ("depthwise" if weights[1] == 1 and source[1] > 1 else "conv"), weights[2] * weights[3]
    return Operator(kind, *_from_channels_first(source), *_from_channels_first(target), taps, size)


def _from_channels_first(shape: Sequence[int]) -> tuple[int, int, int]:
    return (shape[2], shape[3], shape[1]) if len(shape) == 4 else (1, 1, shape[-1] if shape else 1)
