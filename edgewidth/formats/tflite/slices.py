"""Which axis of which tensor of a converted .tflite file is which width variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewidth.errors import MismatchError
from edgewidth.formats.folded import kernel_axes, resolve
from edgewidth.formats.tflite.file import Layout, read_model, tensor_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgewidth.formats.folded import Label
    from edgewidth.graph.spec import LayerShape, NetworkSpec
    from edgewidth.records.weights import FoldedWeights

_BUILTIN = schema.BuiltinOperator
_WEIGHTED = {_BUILTIN.CONV_2D: "conv", _BUILTIN.DEPTHWISE_CONV_2D: "depthwise", _BUILTIN.FULLY_CONNECTED: "dense"}
_KERNEL_ORDER = {"conv": (0, 2, 3, 1), "depthwise": (1, 2, 3, 0), "dense": (0, 1)}
"""TFLite's axes of a kernel, as places in ``FoldedLayer``'s."""

_ROUNDING = 0.501
"""Quantisation rounds to the nearest step; a thousandth more for arithmetic in float32."""

_WEIGHTLESS = {_BUILTIN.ADD: "add", _BUILTIN.MEAN: "global_average_pool"}


def tflite_layout(content: bytes, network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> Layout:
    """A converted file, ready to be written at narrower widths.

    The converter may order and name things as it likes: a layer is found by its kernel's numbers, which must
    therefore differ between layers, and everything else follows from which tensor feeds which operator.

    Args:
        content: The file as converted, at ``widths``.
        network: What was converted.
        widths: The maximum width of every width variable.
        weights: What was converted; they need not be trained, but must be distinct.

    Raises:
        MismatchError: The file is not that network: another operator, layer, order or shape.
    """
    model = read_model(content)
    return Layout(model, _Labeller(model, network, widths, weights).labels())


class _Labeller:
    def __init__(self, model: Any, network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._network = network
        self._widths = widths
        self._weights = weights
        self._unseen = [shape.layer.name for shape in network.shapes]
        self._labels: dict[int, tuple[Label, ...]] = {}

    def labels(self) -> dict[int, tuple[Label, ...]]:
        """The axes of every tensor that has a channel axis, by its index."""
        if len(self._model.subgraphs) != 1 or len(self._graph.inputs) != 1:
            raise MismatchError("The converted network has more than one graph or input.")
        size = self._network.resolution
        self._label(self._graph.inputs[0], (1, size, size, self._network.in_channels))
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex].builtinCode
            if code in _WEIGHTED:
                self._weighted(operator, _WEIGHTED[code])
            elif code in _WEIGHTLESS:
                self._weightless(operator, _WEIGHTLESS[code])
            else:
                raise MismatchError(f"The converted network has an unexpected operator, number {code}.")
        if self._unseen:
            raise MismatchError(f"The converted network lacks the layer {self._unseen[0]}.")
        return self._labels

    def _weighted(self, operator: Any, op: str) -> None:
        source, kernel, bias = operator.inputs
        shape = self._layer_with_kernel(kernel, op)
        if self._labels[source][-1] != shape.in_width:
            raise MismatchError(f"The converted layer {shape.layer.name} has another input than the network's.")
        axes = kernel_axes(shape)
        self._label(kernel, tuple(axes[i] for i in _KERNEL_ORDER[op]))
        self._label(bias, (shape.out_width,))
        self._label_output(operator, shape.out_width)

    def _weightless(self, operator: Any, op: str) -> None:
        sources = operator.inputs if op == "add" else operator.inputs[:1]
        channels = {self._labels[source][-1] for source in sources}
        for shape in self._candidates(op):
            if {shape.out_width} == channels:
                self._unseen.remove(shape.layer.name)
                return self._label_output(operator, shape.out_width)
        raise MismatchError(f"The converted network has a layer {op} that is not the network's.")

    def _layer_with_kernel(self, tensor: int, op: str) -> LayerShape:
        kernel, tolerance = self._kernel(tensor)
        for shape in self._candidates(op):
            expected = self._weights[shape.layer.name].kernel.transpose(_KERNEL_ORDER[op])
            if expected.shape == kernel.shape and np.all(np.abs(expected - kernel) <= tolerance):
                self._unseen.remove(shape.layer.name)
                return shape
        raise MismatchError(f"The converted network has a layer {op} whose weights are not the network's.")

    def _candidates(self, op: str) -> list[LayerShape]:
        return [s for s in self._network.shapes if s.layer.op == op and s.layer.name in self._unseen]

    def _kernel(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | np.float32]:
        """A kernel's real numbers and how far rounding may have taken each."""
        tensor = self._graph.tensors[index]
        stored = tensor_data(self._model, tensor)
        if stored.dtype == np.float32:
            return stored, np.float32(0)
        scale = np.asarray(tensor.quantization.scale, np.float32)
        along = [1] * stored.ndim
        along[tensor.quantization.quantizedDimension] = -1
        scale = scale.reshape(along)
        return stored * scale, scale * np.float32(_ROUNDING)

    def _label_output(self, operator: Any, channels: Label) -> None:
        (output,) = operator.outputs
        shape = self._graph.tensors[output].shape
        self._label(output, (*map(int, shape[:-1]), channels))

    def _label(self, tensor: int, axes: tuple[Label, ...]) -> None:
        shape = tuple(map(int, self._graph.tensors[tensor].shape))
        if shape != tuple(resolve(axis, self._widths) for axis in axes):
            raise MismatchError(f"A tensor of the converted network has the shape {shape}, and should have {axes}.")
        if self._labels.setdefault(tensor, axes) != axes:
            raise MismatchError(f"A tensor of the converted network is both {axes} and {self._labels[tensor]}.")
