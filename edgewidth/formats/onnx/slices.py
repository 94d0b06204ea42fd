"""Cutting an ONNX file that edgewidth wrote to narrower widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import onnx
from onnx import numpy_helper

from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.folded import cut
from edgewidth.formats.onnx.network import bias_name, kernel_name, layer_nodes
from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.widths import Cuts, lengths, total, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Axes, Channels, Widths

OPERATORS: dict[type[Operator], Mapping[str, Callable[[Layer], Channels]]] = {
    Conv: {},
    Depthwise: {"group": lambda layer: layer.output.channels},
    Dense: {},
    Add: {},
    Concatenate: {},
    GlobalAveragePool: {},
}
"""The attributes of an operator's node that count channels, by their names in ONNX."""


class OnnxLayout:
    """An ONNX file ready to be written at any widths. Its names say what each constant is: we gave them.

    ``content`` is as ``onnx_network`` and ``quantise_onnx`` made it of ``network`` at the maximum ``widths``.

    Raises:
        FileError: It is no ONNX file.
        MismatchError: The file is not that network: another operator or shape.
    """

    def __init__(self, content: bytes, network: NetworkSpec, widths: Widths) -> None:
        try:
            self._model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's DecodeError has another base in each of its implementations
            raise FileError("This ONNX file is damaged or cut short.") from error
        self._widest = widths
        self._attributes = list(_attributes(self._model, network, widths))
        labels = _constant_axes(network)
        self._constants: list[tuple[onnx.TensorProto, NDArray[Any], Axes]] = []
        """Each with all of its numbers, and what lies along each axis."""
        for tensor in self._model.graph.initializer:
            axes = labels.get(tensor.name, ())
            if tuple(tensor.dims) != lengths(axes, widths):
                raise MismatchError(f"The constant {tensor.name} of the ONNX file has the shape {list(tensor.dims)}.")
            if any(variables_of(axis) for axis in axes):
                numbers = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))  # as raw_data, which write replaces
                self._constants.append((tensor, numbers, axes))

    def write(self, widths: Widths) -> bytes:
        """The file at these widths: of every axis that holds channels, the first of every segment."""
        cuts = Cuts(widths, self._widest)
        for attribute, channels in self._attributes:
            attribute.i = total(channels, widths)
        for tensor, content, axes in self._constants:
            part = cut(content, cuts.of(axes))
            tensor.dims[:] = part.shape
            tensor.raw_data = part.tobytes()
        return bytes(self._model.SerializeToString())


def _constant_axes(network: NetworkSpec) -> dict[str, Axes]:
    """The axes of every constant that has any, under the names that it has in float32 and after quantisation."""
    found: dict[str, Axes] = {}
    for layer in network.layers:
        for name, axes in ((kernel_name(layer.name), layer.kernel), (bias_name(layer.name), layer.kernel[:1])):
            found |= {name: axes, f"{name}_quantized": axes}
            found |= dict.fromkeys((f"{name}_scale", f"{name}_zero_point"), axes[:1])
            found |= dict.fromkeys((f"{name}_quantized_scale", f"{name}_quantized_zero_point"), axes[:1])
    return found


def _attributes(
    model: onnx.ModelProto, network: NetworkSpec, widths: Widths
) -> Iterator[tuple[onnx.AttributeProto, Channels]]:
    """The attributes that count channels, and which; every layer must be there under its name, with its operator."""
    nodes = {node.name: node for node in model.graph.node}
    for layer in network.layers:
        expected, found = layer_nodes(layer, widths)[0], nodes.get(layer.name)
        if found is None or found.op_type != expected.op_type:
            raise MismatchError("The ONNX file's operators are not the network's.")
        counting = OPERATORS[type(layer.operator)]
        yield from ((a, counting[a.name](layer)) for a in found.attribute if a.name in counting)
