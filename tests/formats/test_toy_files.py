"""Files of the toy network, converted and cut, compute what the network written by hand computes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from formats.test_variants_onnx import run as run_onnx
from formats.test_variants_tflite import operators, shapes
from formats.test_variants_tflite import run as run_tflite
from toy_network import CHANNELS, SIZE, HandWritten, cut_by_hand, kept_channels, toy_space

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.registry import FORMATS
from edgewidth.formats.tflite.file import read_model, tensor_data, write_model
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgewidth.formats.format import Layout
    from edgewidth.records.weights import FoldedWeights

TFLITE, ONNX = FormatName.TFLITE, FormatName.ONNX
INT8, FLOAT32 = Precision.INT8, Precision.FLOAT32
SPACE = toy_space()
WIDEST = SPACE.largest[0]
NARROW = ChannelConfig((5, 2, 8, 5))
WEIGHTS = random_weights(SPACE.network, SPACE.widths(SPACE.largest), seed=0)
CALIBRATION = np.random.default_rng(1).integers(0, 256, (20, SIZE, SIZE, CHANNELS), np.uint8)
IMAGES = np.random.default_rng(2).uniform(-1, 1, (6, SIZE, SIZE, CHANNELS)).astype(np.float32)


class Files(NamedTuple):
    """What converting gives: files at the maximum widths, and afresh from the weights of the narrow network."""

    widest: dict[tuple[FormatName, Precision], bytes]
    fresh: dict[tuple[FormatName, Precision], bytes]

    def layout(self, name: FormatName, precision: Precision) -> Layout:
        return FORMATS[name].layout(self.widest[name, precision], conversion(SPACE.largest, WEIGHTS))


def conversion(config: ChannelConfig, weights: FoldedWeights) -> Conversion:
    return Conversion(SPACE.network, SPACE.widths(config), weights, [FLOAT32, INT8], CALIBRATION)


def convert(config: ChannelConfig, weights: FoldedWeights) -> dict[tuple[FormatName, Precision], bytes]:
    return {
        (name, precision): content
        for name, one in FORMATS.items()
        for precision, content in one.convert(conversion(config, weights)).items()
    }


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(convert(SPACE.largest, WEIGHTS), convert(NARROW, slice_weights(SPACE, NARROW, WEIGHTS)))


def expected(config: ChannelConfig) -> NDArray[np.float32]:
    """Logits of the network written by hand."""
    tensors = {
        f"{name}.{key}": torch.from_numpy(array)
        for name, one in WEIGHTS.items()
        for key, array in one._asdict().items()
    }
    network = HandWritten(cut_by_hand(tensors, config, WIDEST))
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(IMAGES).permute(0, 3, 1, 2)).numpy()
    return logits


def run(name: FormatName, content: bytes) -> NDArray[np.float32]:
    """Logits of a float32 file, or of any .onnx file."""
    found: NDArray[np.float32] = (
        run_tflite(content, IMAGES) if name is TFLITE else run_onnx(content, IMAGES.transpose(0, 3, 1, 2))
    )
    return found


def run_int8(name: FormatName, content: bytes) -> NDArray[np.float32]:
    """Logits of an int8 file; those of a .tflite file with its scales applied."""
    if name is ONNX:
        return run(name, content)
    graph = read_model(content).subgraphs[0]
    (into, begin), (out, zero) = (
        (graph.tensors[i].quantization.scale[0], graph.tensors[i].quantization.zeroPoint[0])
        for i in (graph.inputs[0], graph.outputs[0])
    )
    stored = run_tflite(content, np.rint(IMAGES / into + begin).clip(-128, 127))
    return np.asarray((stored.astype(np.float32) - zero) * out)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("config", [SPACE.largest, SPACE.smallest, NARROW, ChannelConfig((8, 8, 5, 2))], ids=str)
def test_float_files_compute_what_torch_computes(files: Files, name: FormatName, config: ChannelConfig) -> None:
    """Cut from one file to four configurations."""
    np.testing.assert_allclose(
        run(name, files.layout(name, FLOAT32).write(SPACE.widths(config))), expected(config), atol=1e-4
    )


def test_slices_are_what_conversion_makes_of_cut_weights(files: Files) -> None:
    """The very same file in .onnx; the same operators, shapes and numbers in .tflite."""
    widths = SPACE.widths(NARROW)
    variant = files.layout(ONNX, FLOAT32).write(widths)
    assert onnx.load_model_from_string(variant) == onnx.load_model_from_string(files.fresh[ONNX, FLOAT32])
    for precision in (FLOAT32, INT8):
        variant, fresh = files.layout(TFLITE, precision).write(widths), files.fresh[TFLITE, precision]
        assert Counter(operators(variant)) == Counter(operators(fresh))
        assert shapes(variant) == shapes(fresh)
    variant = files.layout(TFLITE, FLOAT32).write(widths)
    np.testing.assert_allclose(run(TFLITE, variant), run(TFLITE, files.fresh[TFLITE, FLOAT32]), atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_int8_files_compute_almost_what_torch_computes(files: Files, name: FormatName) -> None:
    """At the maximum widths, and converted afresh at narrower ones."""
    for content, config in ((files.widest[name, INT8], SPACE.largest), (files.fresh[name, INT8], NARROW)):
        exact = expected(config)
        error = np.sqrt(np.mean((run_int8(name, content) - exact) ** 2))
        assert 0 < error < 0.05 * np.ptp(exact)


def masked(numbers: NDArray[Any], layer: str, config: ChannelConfig, axes: tuple[int, ...]) -> NDArray[Any]:
    """A kernel or a bias with zeros for all outputs and inputs but those used; ``axes``: where these lie."""
    found = np.zeros_like(numbers)
    used: list[Any] = [range(length) for length in numbers.shape]
    for axis, kept in zip(axes, kept_channels(config, WIDEST)[layer], strict=False):
        used[axis] = kept
    found[np.ix_(*used)] = numbers[np.ix_(*used)]
    return found


def masked_onnx(content: bytes, config: ChannelConfig) -> bytes:
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_quantized"):
            numbers = onnx.numpy_helper.to_array(tensor)
            axes = (0, 1)[: numbers.ndim]
            zeroed = masked(numbers, tensor.name.split(".")[0], config, axes)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeroed, tensor.name))
    return bytes(model.SerializeToString())


def masked_tflite(content: bytes, config: ChannelConfig) -> bytes:
    code = schema.BuiltinOperator
    axes_of = {code.CONV_2D: (0, 3), code.DEPTHWISE_CONV_2D: (3, 0), code.FULLY_CONNECTED: (0, 1)}
    model = read_model(content)
    graph = model.subgraphs[0]
    for operator, number in zip(graph.operators, operators(content), strict=True):
        if number in axes_of:
            kernel, bias = (graph.tensors[index] for index in operator.inputs[1:])
            layer = kernel.name.decode().split("/")[1].removesuffix("_1")
            for tensor, axes in ((kernel, axes_of[number]), (bias, (0,))):
                zeroed = masked(tensor_data(model, tensor), layer, config, axes)
                model.buffers[tensor.buffer].data = zeroed.reshape(-1).view(np.uint8)
    return write_model(model)


MASKED: dict[FormatName, Callable[[bytes, ChannelConfig], bytes]] = {TFLITE: masked_tflite, ONNX: masked_onnx}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("config", [SPACE.smallest, NARROW], ids=str)
def test_an_int8_slice_computes_what_masking_computes(files: Files, name: FormatName, config: ChannelConfig) -> None:
    """The scales are those of the maximum widths in both, and channels that are cut must not have mattered."""
    whole = files.widest[name, INT8]
    sliced = run_int8(name, files.layout(name, INT8).write(SPACE.widths(config)))
    np.testing.assert_allclose(sliced, run_int8(name, MASKED[name](whole, config)), atol=1e-5)
    assert not np.allclose(sliced, run_int8(name, whole))
