"""Cutting an ONNX file that edgewidth wrote to narrower widths."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
from onnx import numpy_helper

from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.folded import kernel_axes, resolve
from edgewidth.formats.onnx.network import bias_name, kernel_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgewidth.formats.folded import Label
    from edgewidth.graph.spec import NetworkSpec

_OPERATORS = {
    "conv": "Conv",
    "depthwise": "Conv",
    "add": "Add",
    "global_average_pool": "GlobalAveragePool",
    "dense": "Gemm",
}


class _Constant(NamedTuple):
    """A constant in the model, all of its numbers, and what each axis is cut to."""

    tensor: onnx.TensorProto
    content: NDArray[Any]
    axes: tuple[Label, ...]


class _Group(NamedTuple):
    """The ``group`` of a depthwise convolution: its number of channels."""

    attribute: onnx.AttributeProto
    label: Label


class OnnxLayout:
    """An ONNX file ready to be written at any widths. Its names say what each constant is: we gave them.

    Args:
        content: The file, float32 or quantised, as ``onnx_network`` and ``quantise_onnx`` made it.
        network: What it is of.
        widths: The maximum width of every width variable.

    Raises:
        FileError: It is no ONNX file.
        MismatchError: The file is not that network: another operator or shape.
    """

    def __init__(self, content: bytes, network: NetworkSpec, widths: Mapping[str, int]) -> None:
        try:
            self._model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's DecodeError has another base in each of its implementations
            raise FileError("This ONNX file is damaged or cut short.") from error
        _check_operators(self._model, network)
        labels = _constant_labels(network)
        self._constants = []
        for tensor in self._model.graph.initializer:
            axes = labels.get(tensor.name, ())
            if tuple(tensor.dims) != tuple(resolve(axis, widths) for axis in axes):
                raise MismatchError(f"The constant {tensor.name} of the ONNX file has the shape {list(tensor.dims)}.")
            if any(isinstance(axis, str) for axis in axes):
                numbers = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))  # as raw_data, which write replaces
                self._constants.append(_Constant(tensor, numbers, axes))
        widths_of = {s.layer.name: s.out_width for s in network.shapes if s.layer.op == "depthwise"}
        nodes = (node for node in self._model.graph.node if node.name in widths_of)
        self._groups = [_Group(a, widths_of[n.name]) for n in nodes for a in n.attribute if a.name == "group"]

    def write(self, widths: Mapping[str, int]) -> bytes:
        """The file at these widths: of every axis that a width variable labels, the leading part."""
        for group in self._groups:
            group.attribute.i = resolve(group.label, widths)
        for constant in self._constants:
            shape = [resolve(axis, widths) for axis in constant.axes]
            constant.tensor.dims[:] = shape
            constant.tensor.raw_data = constant.content[tuple(map(slice, shape))].tobytes()
        return bytes(self._model.SerializeToString())


def _constant_labels(network: NetworkSpec) -> dict[str, tuple[Label, ...]]:
    """The axes of every constant that has any, under the names that it has in float32 and after quantisation."""
    labels: dict[str, tuple[Label, ...]] = {}
    for shape in network.shapes:
        if not (axes := kernel_axes(shape)):
            continue
        for name, its_axes in ((kernel_name(shape.layer.name), axes), (bias_name(shape.layer.name), axes[:1])):
            labels |= {name: its_axes, f"{name}_quantized": its_axes}
            labels |= dict.fromkeys((f"{name}_scale", f"{name}_zero_point"), axes[:1])
            labels |= dict.fromkeys((f"{name}_quantized_scale", f"{name}_quantized_zero_point"), axes[:1])
    return labels


def _check_operators(model: onnx.ModelProto, network: NetworkSpec) -> None:
    expected = Counter(_OPERATORS[shape.layer.op] for shape in network.shapes)
    found = Counter(node.op_type for node in model.graph.node if node.op_type in _OPERATORS.values())
    if found != expected:
        raise MismatchError("The ONNX file's operators are not the network's.")
