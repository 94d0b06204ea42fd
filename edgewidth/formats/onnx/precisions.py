"""An ONNX network in float16 and in dynamic int8, with nodes of our own, so that constants keep names that we know.

ONNX Runtime's own tools do the same, but for two things: its ``quantize_dynamic`` has one scale for the whole kernel of
a convolution, and it rounds convolutions in groups too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def float16_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network in float16; its input and its output stay float32.

    What cannot compute in float16, as ONNX Runtime on most processors, computes in float32 with these weights.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            most = np.finfo(np.float16).max
            numbers = numpy_helper.to_array(tensor).clip(-most, most).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    (source,), (target,) = graph.input, graph.output
    inside = {name: f"{name}.float16" for name in (source.name, target.name)}
    for node in graph.node:
        node.input[:] = [inside.get(name, name) for name in node.input]
        node.output[:] = [inside.get(name, name) for name in node.output]
    begin = helper.make_node("Cast", [source.name], [inside[source.name]], "begin", to=TensorProto.FLOAT16)
    end = helper.make_node("Cast", [inside[target.name]], [target.name], "end", to=TensorProto.FLOAT)
    _set_nodes(graph, [begin, *graph.node, end])
    return half


class _Product(NamedTuple):
    """The operator on integers that takes the place of one with a kernel, and how its constants stand there."""

    op_type: str
    kernel: str
    """What is put behind the kernel's name."""
    transposed: bool
    along: tuple[int, ...]
    """The shape of what there is one number of for each channel."""


_PRODUCTS = {
    "Conv": _Product("ConvInteger", "_quantized", transposed=False, along=(-1, 1, 1)),
    "Gemm": _Product("MatMulInteger", "_transposed", transposed=True, along=(-1,)),
}
INTEGER_OPERATORS = {name: product.op_type for name, product in _PRODUCTS.items()}
"""By the operators of a float32 file, those of a dynamic int8 file."""
_PARTS = (".rounded", ".scale", ".zero")
"""What is put behind a tensor's name for what rounding it gives."""
_MIDDLE, _END = 128, 127
"""Rounded weights are unsigned, their zero in the middle: ONNX Runtime takes three times as long for signed ones."""
_ZERO = "kernels.zero"


def dynamic_onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network with kernels rounded channel by channel; what they are multiplied with is rounded while it runs.

    Convolutions in groups, depthwise ones before all, stay as they are: they have few weights, and ONNX Runtime takes
    nine times as long for them in integers as in float32.
    """
    dynamic = onnx.ModelProto()
    dynamic.CopyFrom(model)
    graph = dynamic.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    rounded: set[str] = set()
    for node in graph.node:
        if node.op_type not in _PRODUCTS or any(one.name == "group" and one.i > 1 for one in node.attribute):
            nodes.append(node)
            continue
        source, kernel, bias = node.input
        if source not in rounded:
            parts = [source + part for part in _PARTS]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [source], parts, parts[0]))
            rounded.add(source)
        nodes += _integer_nodes(node)
        integers = _integers(constants.pop(kernel), constants[bias], _PRODUCTS[node.op_type])
        constants |= {tensor.name: tensor for tensor in integers}
    del graph.initializer[:]
    graph.initializer.extend((*constants.values(), numpy_helper.from_array(np.array(_MIDDLE, np.uint8), _ZERO)))
    _set_nodes(graph, nodes)
    return dynamic


def _integers(kernel: TensorProto, bias: TensorProto, product: _Product) -> Iterator[TensorProto]:
    """A kernel as integers, its scales, and its bias."""
    numbers = numpy_helper.to_array(kernel)
    flat = numbers.reshape(len(numbers), -1)
    scale = np.abs(flat).max(1) / np.float32(_END)
    steps = np.rint(flat / np.where(scale > 0, scale, 1)[:, None]).reshape(numbers.shape) + _MIDDLE
    stored = np.ascontiguousarray(steps.T if product.transposed else steps, np.uint8)
    yield numpy_helper.from_array(stored, kernel.name + product.kernel)
    yield numpy_helper.from_array(scale.reshape(product.along), f"{kernel.name}_scale")
    yield numpy_helper.from_array(numpy_helper.to_array(bias).reshape(product.along), bias.name)


def _integer_nodes(node: NodeProto) -> Iterator[NodeProto]:
    """What computes from its rounded input what a node computes; the first has its name."""
    (source, kernel, bias), (target,), product = node.input, node.output, _PRODUCTS[node.op_type]
    whole, scale, zero = (source + part for part in _PARTS)
    integer = helper.make_node(
        product.op_type, [whole, kernel + product.kernel, zero, _ZERO], [f"{target}.integer"], node.name
    )
    integer.attribute.extend(node.attribute if node.op_type == "Conv" else ())
    yield integer
    yield helper.make_node("Cast", [f"{target}.integer"], [f"{target}.float"], f"{target}.float", to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [scale, f"{kernel}_scale"], [f"{target}.step"], f"{target}.step")
    yield helper.make_node("Mul", [f"{target}.float", f"{target}.step"], [f"{target}.product"], f"{target}.product")
    yield helper.make_node("Add", [f"{target}.product", bias], [target], f"{target}.sum")


def _set_nodes(graph: onnx.GraphProto, nodes: Iterable[NodeProto]) -> None:
    nodes = list(nodes)
    del graph.node[:]
    graph.node.extend(nodes)
