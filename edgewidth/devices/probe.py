"""A model of one convolution, made without a converter: what a device is tried out with."""

from __future__ import annotations

import numpy as np

from edgewidth.records.measurement import FormatName

SIZE, CHANNELS, FILTERS = 48, 16, 32
"""A 3×3 convolution over 48×48×16 values: 10.6 million multiply-accumulates, milliseconds on a small board."""
_FLOAT32, _CONV_2D, _SAME, _SCHEMA_VERSION = 0, 3, 0, 3
"""Numbers of the TFLite schema."""


def probe_model(format_name: FormatName) -> bytes:
    """The model as a float32 file."""
    kernel = np.random.default_rng(0).normal(0, 0.1, (FILTERS, 3, 3, CHANNELS)).astype(np.float32)
    return _tflite(kernel) if format_name is FormatName.TFLITE else _onnx(kernel)


def _tflite(kernel: np.ndarray) -> bytes:
    import flatbuffers  # noqa: PLC0415 - only checks need it
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - only checks need it

    def tensor(shape: list[int], buffer: int) -> object:
        made = schema.TensorT()
        made.shape, made.type, made.buffer, made.name = shape, _FLOAT32, buffer, f"tensor{buffer}"
        return made

    def buffer(content: bytes | None = None) -> object:
        made = schema.BufferT()
        made.data = None if content is None else np.frombuffer(content, np.uint8)
        return made

    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = _SAME, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    operator = schema.OperatorT()
    operator.inputs, operator.outputs, operator.opcodeIndex = [0, 1, 2], [3], 0
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _CONV_2D
    code.version = 1
    graph = schema.SubGraphT()
    image = [1, SIZE, SIZE]
    graph.tensors = [
        tensor([*image, CHANNELS], 1),
        tensor(list(kernel.shape), 2),
        tensor([FILTERS], 3),
        tensor([*image, FILTERS], 4),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [3], [operator]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = _SCHEMA_VERSION, [code], [graph]
    bias = np.zeros(FILTERS, np.float32)
    model.buffers = [buffer(), buffer(), buffer(kernel.tobytes()), buffer(bias.tobytes()), buffer()]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _onnx(kernel: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - only checks need it

    image = [SIZE, SIZE]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])],
        "probe",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, CHANNELS, *image])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, FILTERS, *image])],
        [numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(0, 3, 1, 2)), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return bytes(model.SerializeToString())
