"""The ONNX file of a network, written from its description; and its int8 form.

The input is ``image``, float32 (1, channels, height, width), normalised: what ONNX tools and examples expect. The
output is ``logits``, float32 (1, classes). The batch is fixed at one image, as a device runs it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewidth.data.pixels import normalise
from edgewidth.formats.folded import check_weights, resolve
from edgewidth.formats.images import check_calibration
from edgewidth.graph.spec import INPUT
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edgewidth.graph.spec import LayerShape, NetworkSpec
    from edgewidth.progress import Progress
    from edgewidth.records.weights import FoldedWeights

INPUT_NAME, OUTPUT_NAME = "image", "logits"
OPSET, IR_VERSION = 17, 8
"""Of 2022: ONNX Runtime has read them since 1.12, so that devices with an old one can."""


def kernel_name(layer: str) -> str:
    """The name of a layer's kernel in the file."""
    return f"{layer}.kernel"


def bias_name(layer: str) -> str:
    """The name of a layer's bias in the file."""
    return f"{layer}.bias"


def onnx_network(network: NetworkSpec, widths: Mapping[str, int], weights: FoldedWeights) -> onnx.ModelProto:
    """The network in float32.

    Raises:
        MismatchError: The weights are not those of this network.
    """
    check_weights(network, widths, weights)
    initializers = [_constant("relu6.min", np.float32(0)), _constant("relu6.max", np.float32(6))]
    for name, layer in weights.items():
        initializers += [_constant(kernel_name(name), layer.kernel), _constant(bias_name(name), layer.bias)]
    nodes = [node for shape in network.shapes for node in _nodes(shape, widths)]
    nodes[-1].output[0] = OUTPUT_NAME
    size = network.resolution
    graph = helper.make_graph(
        nodes,
        network.family,
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [1, network.in_channels, size, size])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [1, network.num_classes])],
        initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="edgewidth")
    onnx.checker.check_model(model, full_check=True)
    return model


def _constant(name: str, value: NDArray[np.float32] | np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, order="C"), name)


def _nodes(shape: LayerShape, widths: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    """A layer's nodes; the last one's output has the layer's name."""
    layer = shape.layer
    inputs = [INPUT_NAME if name == INPUT else name for name in layer.inputs]
    output = f"{layer.name}.linear" if layer.activation == "relu6" else layer.name
    constants = [kernel_name(layer.name), bias_name(layer.name)]
    match layer.op:
        case "conv" | "depthwise":
            group = resolve(shape.out_width, widths) if layer.op == "depthwise" else 1
            yield helper.make_node(
                "Conv",
                inputs + constants,
                [output],
                layer.name,
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=_same_pads(shape),
                group=group,
            )
        case "add":
            yield helper.make_node("Add", inputs, [output], layer.name)
        case "global_average_pool":
            pooled = f"{layer.name}.map"
            yield helper.make_node("GlobalAveragePool", inputs, [pooled], layer.name)
            yield helper.make_node("Flatten", [pooled], [output], f"{layer.name}.flatten")
        case "dense":
            yield helper.make_node("Gemm", inputs + constants, [output], layer.name, transB=1)
    if layer.activation == "relu6":
        yield helper.make_node("Clip", [output, "relu6.min", "relu6.max"], [layer.name], f"{layer.name}.relu6")


def _same_pads(shape: LayerShape) -> list[int]:
    """TFLite's SAME padding as ONNX states it: top, left, bottom, right; an odd rest goes to the bottom right."""
    layer = shape.layer
    total = max((shape.out_size - 1) * layer.stride + layer.kernel - shape.in_size, 0)
    before, after = total // 2, total - total // 2
    return [before, before, after, after]


class _Calibration:
    """Feeds images one by one to ``quantize_static``, as its ``CalibrationDataReader``."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = iter(normalise(images).transpose(0, 3, 1, 2))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT_NAME: image[None]}


def quantise_onnx(model: onnx.ModelProto, calibration: NDArray[np.uint8]) -> onnx.ModelProto:
    """The network in int8: QuantizeLinear/DequantizeLinear pairs, weights per channel; input and output stay float32.

    ONNX Runtime executes the pairs as integer operators (QLinearConv, QLinearAdd, QGemm). Activations are uint8: with
    int8 ones it falls back to float32 on x86-64 wherever two layers read the same activation, as residual networks do.

    Args:
        model: A float32 network from ``onnx_network``.
        calibration: Images uint8 (n, height, width, channels) that set the ranges of the activations.
    """
    from onnxruntime import quantization  # noqa: PLC0415 - 0.2 s that only quantisation needs

    source = onnx.ModelProto()
    source.CopyFrom(model)  # quantize_static moves the weights of what it is given into a temporary file
    # Its pre-processing folds batch normalisation and infers shapes; both are done, and it says so without this mark.
    helper.set_model_props(source, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(prefix="edgewidth-quantise-") as folder:
        path = Path(folder) / "int8.onnx"
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


def onnx_files(
    network: NetworkSpec,
    widths: Mapping[str, int],
    weights: FoldedWeights,
    *,
    precisions: Sequence[Precision],
    calibration: NDArray[np.uint8] | None = None,
    progress: Progress = SILENT,
) -> dict[Precision, bytes]:
    """The network as .onnx files, one for every precision asked for; the counterpart of ``tflite_files``.

    Args:
        network: The layers.
        widths: The width of every width variable.
        weights: Folded weights of these widths.
        precisions: ``int8`` needs calibration images.
        calibration: Images uint8 (n, height, width, channels), from the training data.
        progress: Where to report to.

    Raises:
        MismatchError: The weights are not those of this network.
        InputError: Calibration images are missing or have another shape.
    """
    with progress.task(f"Writing ONNX {' and '.join(precisions)}"):
        models = {Precision.FLOAT32: onnx_network(network, widths, weights)}
        if Precision.INT8 in precisions:
            images = check_calibration(network, calibration)
            models[Precision.INT8] = quantise_onnx(models[Precision.FLOAT32], images)
        return {precision: bytes(models[precision].SerializeToString()) for precision in precisions}
