"""The conversion process: reads a request from a folder, writes .tflite files beside it.

TensorFlow takes 0.7–1.7 GB and writes to both standard streams from C++; in a process of its own both end with it.
Started by ``edgewidth.formats.tflite.convert`` as ``python -m edgewidth.formats.tflite.worker FOLDER``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.lite import TFLiteSavedModelConverterV2

from edgewidth.data.pixels import normalise
from edgewidth.files import temporary_folder
from edgewidth.formats.tflite.convert import CALIBRATION_FILE, REQUEST_FILE, WEIGHTS_FILE, ConversionRequest
from edgewidth.formats.tflite.file import read_model, write_model
from edgewidth.formats.tflite.keras_network import keras_network
from edgewidth.graph.operators.activation import TELLS_APART
from edgewidth.records.measurement import Precision
from edgewidth.records.weights import FoldedLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs

_BUILTIN = schema.BuiltinOperator
ACTIVATIONS = {
    (_BUILTIN.GELU,): "gelu",
    (_BUILTIN.HARD_SWISH,): "hard_swish",
    (_BUILTIN.LOGISTIC,): "sigmoid",
    (_BUILTIN.TANH,): "tanh",
    (_BUILTIN.LOGISTIC, _BUILTIN.MUL): "silu",
}
"""What a tensor goes through that only these operators read, a product that of the first one's output."""


def convert_keras(model: Any, precisions: Sequence[Precision], calibration: Inputs | None) -> dict[Precision, bytes]:
    """The contents of .tflite files.

    - int8 means all of it: weights, activations, input and output.
    - Of dynamic int8, a kernel of ``LEAST_ROUNDED`` numbers or more is int8, and all else float32.
    - The constants of float16 pass an operator that makes them float32. Runtimes that compute in float32 run it once,
      as they load the file.

    ``model`` is a Keras network with a fixed batch of one; ``calibration`` are images or features (n, height, width,
    channels).
    """
    with temporary_folder() as saved:
        _save(model, saved)
        return {precision: _converted(saved, precision, calibration) for precision in precisions}


def _save(model: Any, folder: Path) -> None:
    """Export a Keras network as TensorFlow's converter does, which would do it for every precision anew."""
    (image,) = model.inputs
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec(image.shape, dtype=image.dtype, name=image.name)]
    archive.add_endpoint("serve", partial(model.__call__, training=False), signature)
    archive.write_out(str(folder), verbose=False)


def _converted(saved: Path, precision: Precision, calibration: Inputs | None) -> bytes:
    # Not by TFLiteConverter.from_saved_model, which loads it once more to look for signatures.
    signature = [tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY]
    converter = TFLiteSavedModelConverterV2(str(saved), {tf.saved_model.SERVING}, signature)
    match precision:
        case Precision.INT8:
            return _int8(converter, calibration)
        case Precision.DYNAMIC_INT8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            # tflite-runtime 2.14 does not know dense layers with a scale for each channel.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001
        case Precision.FLOAT16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _int8(converter: Any, calibration: Inputs | None) -> bytes:
    """Quantised by TensorFlow's own quantiser, which takes the least and the greatest value of each activation.

    ai-edge-quantizer averages them over the calibration images, which clips: for a MobileNet-v1 trained on
    Fashion-MNIST its logits were off by 0.16–0.21 (root mean square, 50–500 images), TensorFlow's by 0.03–0.04.
    """
    if calibration is None:
        raise ValueError("int8 needs calibration images")
    images = normalise(calibration)

    def samples() -> Iterator[list[NDArray[np.float32]]]:
        for image in images:
            yield [image[None]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_calibrate_only = True  # noqa: SLF001  as TensorFlow's own QuantizationDebugger does
    calibrated = limited(bytes(converter.convert()))
    return bytes(mlir_quantize(calibrated, input_data_type=tf.int8, output_data_type=tf.int8))


def limited(calibrated: bytes) -> bytes:
    """A calibrated file in which what only an activation reads has no wider range than the activation tells apart."""
    model = read_model(calibrated)
    graph = model.subgraphs[0]
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor, []).append(operator)
    for tensor, operators in readers.items():
        codes = tuple(model.operatorCodes[operator.opcodeIndex].builtinCode for operator in operators)
        if codes in ACTIVATIONS and all(operators[0].outputs[0] in after.inputs for after in operators[1:]):
            least, greatest = TELLS_APART[ACTIVATIONS[codes]]
            calibration = graph.tensors[tensor].quantization
            calibration.min = [min(max(float(calibration.min[0]), least), 0.0)]
            calibration.max = [max(min(float(calibration.max[0]), greatest), 0.0)]
    return write_model(model)


def main(folder: Path) -> None:
    """Convert what the folder asks for."""
    request = ConversionRequest.model_validate_json((folder / REQUEST_FILE).read_text())
    with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as stored:
        names = dict.fromkeys(key.rpartition("/")[0] for key in stored)
        weights = {name: FoldedLayer(stored[f"{name}/kernel"], stored[f"{name}/bias"]) for name in names}
    path = folder / CALIBRATION_FILE
    calibration = np.load(path, allow_pickle=False) if path.exists() else None
    model = keras_network(request.network, request.widths, weights)
    for precision, content in convert_keras(model, request.precisions, calibration).items():
        (folder / f"{precision}.tflite").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
