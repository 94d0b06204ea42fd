"""The ONNX file of a network, written from its description; and its int8 form. Other forms are in ``precisions.py``.

The input is ``image``, float32 (1, channels, height, width), normalised: what ONNX tools and examples expect. The
output is ``logits``, float32 (1, classes). The batch is fixed at one image, as a device runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgewidth.data.pixels import normalise
from edgewidth.files import temporary_folder
from edgewidth.formats.folded import check_weights
from edgewidth.formats.onnx.nodes import INPUT_NAME, LayerNodes, bias_name, kernel_axes, kernel_name
from edgewidth.formats.onnx.precisions import dynamic_onnx, float16_onnx
from edgewidth.graph.operators import PRelu
from edgewidth.graph.operators.activation import TELLS_APART
from edgewidth.graph.widths import lengths
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.formats.conversion import Conversion
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.graph.widths import Widths
    from edgewidth.records.weights import FoldedWeights

OUTPUT_NAME = "logits"
OPSET, IR_VERSION = 17, 8
"""Of 2022: ONNX Runtime has read them since 1.12, so that devices with an old one can."""


def onnx_network(network: NetworkSpec, widths: Widths, weights: FoldedWeights) -> onnx.ModelProto:
    """The network in float32.

    Raises:
        MismatchError: The weights are not those of this network.
    """
    check_weights(network, widths, weights)
    nodes: list[NodeProto] = []
    constants: dict[str, NDArray[Any]] = {}
    for layer in network.layers:
        site = LayerNodes(layer, widths)
        nodes += site.nodes
        constants |= site.constants
        if layer.kernel:
            kernel, bias = weights[layer.name]
            constants[kernel_name(layer.name)] = kernel.reshape(lengths(kernel_axes(layer), widths))
            constants |= {} if isinstance(layer.operator, PRelu) else {bias_name(layer.name): bias}
    nodes[-1].output[0] = OUTPUT_NAME
    initializers = [numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        network.family,
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [1, network.in_channels, *network.input.size])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [1, network.outputs])],
        initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="edgewidth")
    onnx.checker.check_model(model, full_check=True)
    return model


class _Calibration:
    """Feeds images one by one to ``quantize_static``, as its ``CalibrationDataReader``."""

    def __init__(self, images: Inputs) -> None:
        self._images = iter(normalise(images).transpose(0, 3, 1, 2))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT_NAME: image[None]}


def quantise_onnx(model: onnx.ModelProto, calibration: Inputs) -> onnx.ModelProto:
    """The network in int8: QuantizeLinear/DequantizeLinear pairs, weights per channel; input and output stay float32.

    ONNX Runtime executes the pairs as integer operators (QLinearConv, QLinearAdd, QGemm). Activations are uint8: with
    int8 ones it falls back to float32 on x86-64 wherever two layers read the same activation, as residual networks do.
    The ``calibration`` images or features (n, height, width, channels), set the ranges of the activations.
    """
    from onnxruntime import quantization  # noqa: PLC0415 - 0.2 s that only quantisation needs

    source = onnx.ModelProto()
    source.CopyFrom(model)  # quantize_static moves the weights of what it is given into a temporary file
    _clip_what_activations_read(source.graph)
    # Its pre-processing folds batch normalisation and infers shapes; both are done, and it says so without this mark.
    helper.set_model_props(source, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with temporary_folder() as folder:
        path = folder / "int8.onnx"
        quantization.quantize_static(
            source,
            path,
            _Calibration(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        quantised = onnx.load(path)
    del quantised.metadata_props[:]
    del quantised.graph.value_info[:]  # shapes inside follow from the rest, and change with the widths
    quantised.producer_name = model.producer_name
    return quantised


def _clip_what_activations_read(graph: onnx.GraphProto) -> None:
    """Bound what only an activation reads to what it tells apart.

    Quantisation takes that range for the operator before, whose integers end there, and leaves the Clip out.
    """
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes: list[NodeProto] = []
    for node in graph.node:
        source = node.input[0]
        limits = TELLS_APART.get(_activation(node, readers.get(source, [])))
        if limits is not None and source != INPUT_NAME:
            bounds = [
                f"{source}.{end}" if abs(bound) < np.inf else "" for end, bound in zip(_ENDS, limits, strict=True)
            ]
            graph.initializer.extend(
                numpy_helper.from_array(np.array(bound, np.float32), name)
                for name, bound in zip(bounds, limits, strict=True)
                if name
            )
            clipped = f"{source}.clipped"
            nodes.append(helper.make_node("Clip", [source, *bounds], [clipped], clipped))
            for reader in readers[source]:
                reader.input[list(reader.input).index(source)] = clipped
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


_ENDS = ("least", "greatest")
_CURVED = {"HardSigmoid": "hard_sigmoid", "HardSwish": "hard_swish", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def _activation(node: NodeProto, readers: list[NodeProto]) -> str:
    """Which activation a node is, or the first part of, if nothing but it is among the ``readers`` of its input."""
    match [reader.op_type for reader in readers]:
        case [("HardSigmoid" | "HardSwish" | "Sigmoid" | "Tanh") as only]:
            return _CURVED[only]
        case ["Div", "Mul"] if node.op_type == "Div":
            return "gelu"
        case ["Sigmoid", "Mul"] if node.op_type == "Sigmoid" and node.output[0] in readers[1].input:
            return "silu"
    return "none"


def onnx_files(conversion: Conversion) -> dict[Precision, bytes]:
    """The network as .onnx files; raises ``MismatchError`` and ``InputError`` as ``Format.convert`` does."""
    with conversion.progress.task(f"Writing ONNX {' and '.join(conversion.precisions)}"):
        network = onnx_network(conversion.network, conversion.widths, conversion.weights)
        make: dict[Precision, Callable[[], onnx.ModelProto]] = {
            Precision.INT8: lambda: quantise_onnx(network, conversion.images()),
            Precision.DYNAMIC_INT8: lambda: dynamic_onnx(network),
            Precision.FLOAT16: lambda: float16_onnx(network),
            Precision.FLOAT32: lambda: network,
        }
        return {precision: bytes(make[precision]().SerializeToString()) for precision in conversion.precisions}
