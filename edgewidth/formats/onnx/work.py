"""What the nodes of an .onnx file cost."""

from __future__ import annotations

import math
from typing import Any

import onnx

from edgewidth.errors import FileError
from edgewidth.formats.onnx.facts import read_onnx
from edgewidth.records.measurement import OperatorWork

_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = {"Gemm": 0, "MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}
"""Which input is multiplied: of a convolution the weights, of a product the matrix whose rows are summed over."""


def onnx_work(content: bytes) -> tuple[OperatorWork, ...]:
    """See ``Format.work``."""
    try:
        model = onnx.shape_inference.infer_shapes(read_onnx(content))
    except (FileError, RuntimeError, ValueError):
        return ()
    graph = model.graph
    shapes = {one.name: list(one.dims) for one in graph.initializer}
    for one in (*graph.input, *graph.output, *graph.value_info):
        shapes[one.name] = [max(1, size.dim_value) for size in one.type.tensor_type.shape.dim]
    return tuple(OperatorWork(node.name, _macs(node, shapes)) for node in graph.node)


def _macs(node: Any, shapes: dict[str, list[int]]) -> int:
    """The multiply-accumulates of one node; 0 where a shape that it takes is not known."""
    try:
        if node.op_type in _CONVOLUTIONS:  # weights (out, in of its group, height, width)
            return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[_CONVOLUTIONS[node.op_type]]][1:])
        if node.op_type == "ConvTranspose":  # weights (in, out of its group, height, width)
            return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
        if node.op_type in _PRODUCTS:
            rows = shapes[node.input[_PRODUCTS[node.op_type]]]
            turned = any(one.name == "transA" and one.i for one in node.attribute)
            return math.prod(shapes[node.output[0]]) * (rows[0] if turned else rows[-1])
    except (KeyError, IndexError):
        return 0
    return 0
