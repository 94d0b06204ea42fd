"""Cutting an ONNX file that edgewidth wrote to narrower widths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.folded import cut
from edgewidth.formats.onnx.nodes import LayerNodes, bias_name, kernel_axes, kernel_name
from edgewidth.formats.onnx.precisions import INTEGER_OPERATORS
from edgewidth.formats.sizes import FileSize, StoredArray
from edgewidth.graph.operators import PRelu
from edgewidth.graph.widths import Cuts, lengths, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Axes, Widths


class _Counting(NamedTuple):
    """A layer whose nodes count channels: in attributes, by the place of their node and by name, and in constants."""

    layer: Layer
    attributes: dict[tuple[int, str], onnx.AttributeProto]
    constants: dict[str, onnx.TensorProto]

    def write(self, widths: Widths) -> None:
        """Set them to what they are at these widths."""
        written = LayerNodes(self.layer, widths)
        attributes = _attributes(written) if self.attributes else {}
        for key, attribute in self.attributes.items():
            attribute.CopyFrom(attributes[key])
        for name, tensor in self.constants.items():
            tensor.raw_data = written.constants[name].tobytes()


class OnnxLayout:
    """An ONNX file ready to be written at any widths. Its names say what each constant is: we gave them.

    ``content`` is as ``onnx_files`` made it of ``network`` at the maximum ``widths``.

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
        self._counting = list(_counting(self._model, network, widths))
        counted = {name for found in self._counting for name in found.constants}
        labels = _constant_axes(network)
        self._constants: list[tuple[onnx.TensorProto, NDArray[Any], Axes]] = []
        """Each with all of its numbers, and what lies along each axis."""
        for tensor in self._model.graph.initializer:
            axes = labels.get(tensor.name)
            if axes is None or tensor.name in counted:
                continue
            if len(axes) == 1:  # one number for each channel, wherever these lie in what it is multiplied with
                axes = (*axes, *(((1,),) * (len(tensor.dims) - 1)))
            if tuple(tensor.dims) != lengths(axes, widths):
                raise MismatchError(f"The constant {tensor.name} of the ONNX file has the shape {list(tensor.dims)}.")
            if any(variables_of(axis) for axis in axes):
                numbers = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))  # as raw_data, which write replaces
                self._constants.append((tensor, numbers, axes))

    @property
    def size(self) -> FileSize:
        """The constants, and the rest as it is at the greatest widths: narrower, numbers of lengths take less."""
        arrays = tuple(StoredArray(axes, content.itemsize) for _, content, axes in self._constants)
        whole = len(self.write(self._widest))
        return FileSize(whole - sum(array.bytes_at(self._widest) for array in arrays), arrays)

    def write(self, widths: Widths) -> bytes:
        """The file at these widths: of every axis that holds channels, the first of every segment."""
        cuts = Cuts(widths, self._widest)
        for counting in self._counting:
            counting.write(widths)
        for tensor, content, axes in self._constants:
            part = cut(content, cuts.of(axes))
            tensor.dims[:] = part.shape
            tensor.raw_data = part.tobytes()
        return bytes(self._model.SerializeToString())


def _constant_axes(network: NetworkSpec) -> dict[str, Axes]:
    """The axes of every constant that has any, under the names that it has in float32 and when it was rounded."""
    found: dict[str, Axes] = {}
    for layer in network.layers:
        for name, axes in ((kernel_name(layer.name), kernel_axes(layer)), (bias_name(layer.name), layer.kernel[:1])):
            found |= {name: axes, f"{name}_quantized": axes, f"{name}_transposed": axes[::-1]}
            if isinstance(layer.operator, PRelu):  # what is no kernel of a convolution has one scale
                continue
            found |= dict.fromkeys((f"{name}_scale", f"{name}_zero_point"), axes[:1])
            found |= dict.fromkeys((f"{name}_quantized_scale", f"{name}_quantized_zero_point"), axes[:1])
    return found


def _counting(model: onnx.ModelProto, network: NetworkSpec, widths: Widths) -> Iterator[_Counting]:
    """The layers whose nodes are others at other widths; every layer with weights must be there under its name."""
    nodes = {node.name: node for node in model.graph.node}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for layer in network.layers:
        here, there = LayerNodes(layer, widths), LayerNodes(layer, dict.fromkeys(widths, 1))
        found = [nodes.get(node.name) for node in here.nodes]
        if layer.kernel and (found[0] is None or found[0].op_type not in _alike(here.nodes[0].op_type)):
            raise MismatchError("The ONNX file's operators are not the network's.")
        others = _attributes(there)
        attributes = {
            (place, attribute.name): attribute
            for place, node in enumerate(found)
            if node is not None
            for attribute in node.attribute
            if attribute != others.get((place, attribute.name), attribute)
        }
        constants = {
            name: tensors[name]
            for name, numbers in here.constants.items()
            if not np.array_equal(numbers, there.constants[name])
        }
        if attributes or constants:
            yield _Counting(layer, attributes, constants)


def _alike(op_type: str) -> tuple[str, ...]:
    """An operator of a float32 file, and that of a dynamic int8 file."""
    return (op_type, INTEGER_OPERATORS.get(op_type, op_type))


def _attributes(layer: LayerNodes) -> dict[tuple[int, str], onnx.AttributeProto]:
    return {(place, a.name): a for place, node in enumerate(layer.nodes) for a in node.attribute}
