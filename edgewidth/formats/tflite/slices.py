"""Which axis of which tensor of a converted .tflite file is which width variable.

The converter may order, name, join and take apart as it likes. What is known for certain is the input's axes, and
which layer a kernel belongs to: its numbers say so. All other axes follow from what each operator does with its
inputs' (``rules.py``), and from there the constants': those that are cut, and those whose numbers count channels.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewidth.errors import MismatchError
from edgewidth.formats.tflite.file import Counts, Layout, read_model, real_numbers, tensor_data
from edgewidth.formats.tflite.rules import RULES, Step, operator_name
from edgewidth.graph.operators import BatchNorm, Dense
from edgewidth.graph.widths import lengths, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.formats.conversion import Conversion
    from edgewidth.graph.spec import Layer
    from edgewidth.graph.widths import Axes

_BUILTIN = schema.BuiltinOperator
KERNEL_ORDERS = {
    _BUILTIN.CONV_2D: (0, 2, 3, 1),
    _BUILTIN.DEPTHWISE_CONV_2D: (1, 2, 3, 0),
    _BUILTIN.FULLY_CONNECTED: (0, 1),
}
"""The operators that have a kernel, with its axes as places in ``Layer.kernel``."""

_ROUNDING, _FLOAT_ROUNDING = 0.501, 1e-6
"""What is stored is rounded to the nearest step, with a thousandth more for arithmetic in float32; and that itself."""


def tflite_layout(content: bytes, conversion: Conversion) -> Layout:
    """A converted file, ready to be written at narrower widths.

    A layer is found by its kernel's numbers, and among equal ones by what it reads: the weights need not be trained.

    Raises:
        MismatchError: The file is not that network: another layer, operator or shape.
    """
    model = read_model(content)
    labeller = _Labeller(model, conversion)
    labels, counts = labeller.labels()
    return Layout(model, labels, conversion.widths, counts, labeller.rounded)


class _Labeller:
    def __init__(self, model: Any, conversion: Conversion) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._network, self._widths, self._weights = conversion.network, conversion.widths, conversion.weights
        self._seen: set[str] = set()
        self._labels: dict[int, Axes] = {}
        self._counts: dict[int, Counts] = {}
        self._makers = {
            operator.outputs[0]: operator
            for operator in self._graph.operators
            if self._code(operator) == _BUILTIN.DEQUANTIZE and self._holds(operator.inputs[0])
        }
        """By what it makes, the operators that make float32 of constants that are stored as float16."""
        self.rounded: set[int] = set()
        """The int8 kernels of layers that read floating-point numbers."""

    def labels(self) -> tuple[dict[int, Axes], dict[int, Counts]]:
        """The axes of every tensor that has any, by its index; and what the numbers in constants count."""
        if len(self._model.subgraphs) != 1 or len(self._graph.inputs) != 1:
            raise MismatchError("The converted network has more than one graph or input.")
        source = self._network.input
        self._label(self._graph.inputs[0], ((1,), *((length,) for length in source.size), source.channels))
        for operator in self._graph.operators:
            code = self._code(operator)
            if code in KERNEL_ORDERS:
                self._label_layer(operator, code)
            elif operator.outputs[0] not in self._makers:
                self._label_by_rule(operator, code)
        for layer in self._network.layers:
            if len(layer.kernel) > 1 and layer.name not in self._seen:
                raise MismatchError(f"The converted network lacks the layer {layer.name}.")
        if self._labels[self._graph.outputs[0]][-1] != merged(self._network.layers[-1].output.channels):
            raise MismatchError("The converted network has another output than the network.")
        return self._labels, self._counts

    def _label_layer(self, operator: Any, code: int) -> None:
        """Label an operator with a kernel, its constants and its output."""
        layer = self._layer_of(operator, code)
        self._seen.add(layer.name)
        self._label_constant(operator, 1, _kernel_axes(layer, code))
        types = [self._graph.tensors[tensor].type for tensor in operator.inputs[:2]]
        if types == [schema.TensorType.FLOAT32, schema.TensorType.INT8]:
            self.rounded.add(operator.inputs[1])
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            self._label_constant(operator, 2, layer.kernel[:1])
        shape = self._shape(operator.outputs[0])
        self._label(operator.outputs[0], (*((length,) for length in shape[:-1]), layer.output.channels))

    def _label_by_rule(self, operator: Any, code: int) -> None:
        """Label the output and the constants of an operator without a kernel."""
        if code not in RULES:
            raise MismatchError(f"The converted network has an unexpected operator, {operator_name(code)}.")
        constants = {
            slot: tensor_data(self._model, self._graph.tensors[self._stored(tensor)])
            for slot, tensor in enumerate(operator.inputs)
            if tensor >= 0 and self._holds(self._stored(tensor))
        }
        axes = [self._labels.get(tensor, ()) for tensor in operator.inputs]
        shape = self._shape(operator.outputs[0])
        step = RULES[code](Step(operator.builtinOptions, axes, constants, shape, self._widths))
        for slot, numbers in constants.items():
            fixed = tuple((length,) for length in numbers.shape)
            self._label_constant(operator, slot, step.constants.get(slot, fixed), step.counts.get(slot, ()))
        self._label(operator.outputs[0], step.output)

    def _layer_of(self, operator: Any, code: int) -> Layer:
        """The layer that an operator with this code is: the one with its kernel and its input's channels."""
        candidates = self._with_kernel(operator.inputs[1], code)
        channels = self._labels.get(operator.inputs[0], ((),))[-1]
        fitting = [layer for layer in candidates if merged(layer.reads[0].channels) == channels]
        if not fitting:
            name = candidates[0].name
            raise MismatchError(f"The converted layer {name} has another input than the network's.")
        return next((layer for layer in fitting if layer.name not in self._seen), fitting[0])

    def _with_kernel(self, kernel: int, code: int) -> list[Layer]:
        """The layers whose kernel, in the file a tensor of this index, belongs to an operator with this code."""
        found, tolerance = self._kernel(kernel)
        alike = [
            (layer, expected)
            for layer in self._network.layers
            if layer.kernel
            and (expected := _kernel_as(layer, code, self._weights[layer.name].kernel)) is not None
            and expected.shape == found.shape
        ]
        for rescaled in (False, True):  # the converter multiplies a constant factor before a layer into its kernel
            layers = []
            for layer, expected in alike:
                factor = np.vdot(expected, found) / np.vdot(found, found) if rescaled else np.float32(1)
                steps = 2 if rescaled else 1  # the factor itself is estimated from rounded numbers
                rounding = factor * tolerance * steps + _FLOAT_ROUNDING * np.abs(expected).max()
                if np.all(np.abs(expected - factor * found) <= rounding):
                    layers.append(layer)
            if layers:
                return layers
        raise MismatchError(f"The converted network has a {operator_name(code)} whose weights are not the network's.")

    def _kernel(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A kernel's real numbers and how far rounding may have taken each."""
        numbers, step = real_numbers(self._model, self._graph.tensors[self._stored(index)])
        return numbers, step * np.float32(_ROUNDING)

    def _code(self, operator: Any) -> int:
        return int(self._model.operatorCodes[operator.opcodeIndex].builtinCode)

    def _stored(self, tensor: int) -> int:
        """The constant that a tensor is made of as the file is loaded, or the tensor itself."""
        maker = self._makers.get(tensor)
        return tensor if maker is None else int(maker.inputs[0])

    def _holds(self, tensor: int) -> bool:
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(map(int, self._graph.tensors[tensor].shape))

    def _label_constant(self, operator: Any, slot: int, axes: Axes, counts: Counts = ()) -> None:
        """Label a constant; one that stands for something else elsewhere, because it is equal, is doubled before."""
        tensor, axes = operator.inputs[slot], tuple(map(merged, axes))
        if (self._labels.get(tensor, axes), self._counts.get(tensor, counts)) != (axes, counts):
            tensor = self._doubled(tensor)
            operator.inputs = [*operator.inputs[:slot], tensor, *operator.inputs[slot + 1 :]]
        for each in {tensor, self._stored(tensor)}:
            self._label(each, axes)
            self._counts[each] = counts

    def _doubled(self, tensor: int) -> int:
        """One more constant with the same content, and with an operator of its own that makes it, if it has one."""
        own, place = copy.copy(self._graph.tensors[tensor]), len(self._graph.tensors)
        self._graph.tensors.append(own)
        if tensor not in self._makers:
            self._model.buffers.append(schema.BufferT(self._model.buffers[own.buffer].data))
            own.buffer = len(self._model.buffers) - 1
            return place
        maker = copy.copy(self._makers[tensor])
        maker.inputs, maker.outputs = [self._doubled(maker.inputs[0])], [place]
        self._makers[place] = maker
        self._graph.operators = [maker, *self._graph.operators]
        return place

    def _label(self, tensor: int, axes: Axes) -> None:
        axes = tuple(map(merged, axes))
        if self._shape(tensor) != lengths(axes, self._widths):
            shape = self._shape(tensor)
            raise MismatchError(f"A tensor of the converted network has the shape {shape}, and should have {axes}.")
        if self._labels.setdefault(tensor, axes) != axes:
            raise MismatchError(f"A tensor of the converted network is both {axes} and {self._labels[tensor]}.")


def _kernel_axes(layer: Layer, code: int) -> Axes:
    """The axes of a layer's kernel as the operator with this code has them."""
    if isinstance(layer.operator, BatchNorm):
        return (1,), (1,), (1,), layer.kernel[0]
    axes = (*layer.kernel, (1,), (1,)) if _is_of_one_pixel(layer, code) else layer.kernel
    return tuple(axes[place] for place in KERNEL_ORDERS[code])


def _is_of_one_pixel(layer: Layer, code: int) -> bool:
    """Whether it is a dense layer over a vector that was written as a convolution."""
    return code == _BUILTIN.CONV_2D and isinstance(layer.operator, Dense) and len(layer.kernel) == 2


def _kernel_as(layer: Layer, code: int, kernel: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """A layer's kernel as the operator with this code has it; None: it is no such layer."""
    if isinstance(layer.operator, BatchNorm):
        return kernel[None, None, None, :] if code == _BUILTIN.DEPTHWISE_CONV_2D else None
    order = KERNEL_ORDERS[code]
    kernel = kernel[..., None, None] if _is_of_one_pixel(layer, code) else kernel
    return kernel.transpose(order) if kernel.ndim == len(order) else None
