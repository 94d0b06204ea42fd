"""Which axis of which tensor of a converted .tflite file is which width variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewidth.errors import MismatchError
from edgewidth.formats.tflite.file import Layout, read_model, tensor_data
from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.formats.conversion import Conversion
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Axes, TensorShape

_BUILTIN = schema.BuiltinOperator


class TfliteOperator(NamedTuple):
    """The number of an operator in TFLite's schema, and its axes of the kernel as places in ``Layer.kernel``."""

    code: int
    kernel_order: tuple[int, ...] = ()
    ordered: bool = True
    """Whether the order of its inputs is the network's; the converter may turn round that of an addition."""


OPERATORS: dict[type[Operator], TfliteOperator] = {
    Conv: TfliteOperator(_BUILTIN.CONV_2D, (0, 2, 3, 1)),
    Depthwise: TfliteOperator(_BUILTIN.DEPTHWISE_CONV_2D, (1, 2, 3, 0)),
    Dense: TfliteOperator(_BUILTIN.FULLY_CONNECTED, (0, 1)),
    Add: TfliteOperator(_BUILTIN.ADD, ordered=False),
    Concatenate: TfliteOperator(_BUILTIN.CONCATENATION),
    GlobalAveragePool: TfliteOperator(_BUILTIN.MEAN),
}
_PASSING = {_BUILTIN.QUANTIZE, _BUILTIN.RELU6}
"""What the converter may set between layers: its output is the same value with another scale, or the activation."""

_ROUNDING = 0.501
"""Quantisation rounds to the nearest step; a thousandth more for arithmetic in float32."""


def tflite_layout(content: bytes, conversion: Conversion) -> Layout:
    """A converted file, ready to be written at narrower widths.

    The converter may order and name things as it likes: a layer is found by its kernel's numbers, which must
    therefore differ between layers, and everything else follows from which tensor feeds which operator. The weights
    need not be trained.

    Raises:
        MismatchError: The file is not that network: another operator, layer, order or shape.
    """
    model = read_model(content)
    return Layout(model, _Labeller(model, conversion).labels(), conversion.widths)


class _Labeller:
    def __init__(self, model: Any, conversion: Conversion) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._network, self._widths, self._weights = conversion.network, conversion.widths, conversion.weights
        self._unseen = {layer.name: layer for layer in self._network.layers}
        self._labels: dict[int, Axes] = {}
        self._names: dict[int, str] = {}
        """Of which layer a tensor is the output, by the tensor's index."""

    def labels(self) -> dict[int, Axes]:
        """The axes of every tensor that has a channel axis, by its index."""
        if len(self._model.subgraphs) != 1 or len(self._graph.inputs) != 1:
            raise MismatchError("The converted network has more than one graph or input.")
        self._label_output(self._graph.inputs[0], INPUT, self._network.input)
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex].builtinCode
            if code in _PASSING:
                source = operator.inputs[0]
                self._names[operator.outputs[0]] = self._names[source]
                self._label(operator.outputs[0], self._labels[source])
                continue
            layer = self._layer_of(operator, code)
            del self._unseen[layer.name]
            if layer.kernel:
                _, kernel, bias = operator.inputs
                self._label(kernel, tuple(layer.kernel[i] for i in OPERATORS[type(layer.operator)].kernel_order))
                self._label(bias, layer.kernel[:1])
            self._label_output(operator.outputs[0], layer.name, layer.output)
        if self._unseen:
            raise MismatchError(f"The converted network lacks the layer {next(iter(self._unseen))}.")
        return self._labels

    def _layer_of(self, operator: Any, code: int) -> Layer:
        """The layer that an operator is: the one with its kernel, if it has any, and its inputs."""
        candidates = [layer for layer in self._unseen.values() if OPERATORS[type(layer.operator)].code == code]
        if not candidates:
            raise MismatchError(f"The converted network has an unexpected operator, number {code}.")
        op = candidates[0].operator.op
        if candidates[0].kernel:
            candidates = self._with_kernel(candidates, operator.inputs[1])
            if not candidates:
                raise MismatchError(f"The converted network has a layer {op} whose weights are not the network's.")
        for layer in candidates:
            if self._has_inputs(operator, layer):
                return layer
        raise MismatchError(f"The converted network has a layer {op} whose inputs are not the network's.")

    def _has_inputs(self, operator: Any, layer: Layer) -> bool:
        found = [self._names.get(tensor, "") for tensor in operator.inputs[: len(layer.inputs)]]
        expected = list(layer.inputs)
        return found == expected if OPERATORS[type(layer.operator)].ordered else sorted(found) == sorted(expected)

    def _with_kernel(self, candidates: list[Layer], tensor: int) -> list[Layer]:
        kernel, tolerance = self._kernel(tensor)
        found = []
        for layer in candidates:
            expected = self._weights[layer.name].kernel.transpose(OPERATORS[type(layer.operator)].kernel_order)
            if expected.shape == kernel.shape and np.all(np.abs(expected - kernel) <= tolerance):
                found.append(layer)
        return found

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

    def _label_output(self, tensor: int, name: str, shape: TensorShape) -> None:
        self._names[tensor] = name
        self._label(tensor, ((1,), *((length,) for length in shape.size), shape.channels))

    def _label(self, tensor: int, axes: Axes) -> None:
        shape = tuple(map(int, self._graph.tensors[tensor].shape))
        if shape != lengths(axes, self._widths):
            raise MismatchError(f"A tensor of the converted network has the shape {shape}, and should have {axes}.")
        if self._labels.setdefault(tensor, axes) != axes:
            raise MismatchError(f"A tensor of the converted network is both {axes} and {self._labels[tensor]}.")
