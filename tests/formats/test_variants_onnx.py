from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import slice_weights
from edgewidth.formats.onnx.network import onnx_files, onnx_network
from edgewidth.formats.onnx.slices import OnnxLayout
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from formats.cases import Case, MakeFactory
    from numpy.typing import NDArray

INT8, FLOAT32 = Precision.INT8, Precision.FLOAT32


def run(content: bytes, images: NDArray[np.float32], optimised: Path | None = None) -> NDArray[np.float32]:
    """Logits of normalised images (n, channels, height, width), and what the runtime made of the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def some_images(case: Case) -> NDArray[np.float32]:
    shape = (3, case.space.network.in_channels, 32, 32)
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def masked(content: bytes, case: Case) -> bytes:
    """The maximum-width file with zero where the case's configuration has no weight."""
    model = onnx.load_model_from_string(content)
    kept = slice_weights(case.space, case.config, case.weights)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, layer in kept.items():
        for part, shape in (("kernel", layer.kernel.shape), ("bias", layer.bias.shape)):
            key = next(k for k in (f"{name}.{part}_quantized", f"{name}.{part}") if k in constants)
            numbers = onnx.numpy_helper.to_array(constants[key])
            zeros = np.zeros_like(numbers)
            zeros[tuple(map(slice, shape))] = numbers[tuple(map(slice, shape))]
            constants[key].CopyFrom(onnx.numpy_helper.from_array(zeros, key))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", ["mobilenet_case", "residual_case"])
@pytest.mark.parametrize("precision", [INT8, FLOAT32])
def test_an_onnx_slice_computes_what_masking_computes(
    name: str, precision: Precision, factory: MakeFactory, request: pytest.FixtureRequest
) -> None:
    """Channels that are cut must not have mattered."""
    case: Case = request.getfixturevalue(name)
    made = factory(case.space, precision, FormatName.ONNX)
    whole, images = made.variant(case.space.largest), some_images(case)
    sliced = run(made.variant(case.config), images)
    np.testing.assert_allclose(sliced, run(masked(whole, case), images), atol=1e-5)
    assert len(np.unique(sliced)) > 5
    assert not np.allclose(sliced, run(whole, images))


@pytest.mark.parametrize("name", ["mobilenet_case", "residual_case"])
def test_an_onnx_slice_is_executed_as_a_fresh_file_is(
    name: str, factory: MakeFactory, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """In int8 the integer operators; in float32 the very same file as one written from sliced weights."""
    case: Case = request.getfixturevalue(name)
    space, weights, config = case
    widths = space.widths(config)
    rng = np.random.default_rng(2)
    calibration = rng.integers(0, 256, (4, 32, 32, space.network.in_channels), np.uint8)
    few = slice_weights(space, config, weights)
    fresh = onnx_files(Conversion(space.network, widths, few, [FLOAT32, INT8], calibration))
    images, seen = some_images(case), {}
    for source, content in (("fresh", fresh[INT8]), ("slice", factory(space, INT8, FormatName.ONNX).variant(config))):
        run(content, images, tmp_path / f"{source}.onnx")
        seen[source] = operators(onnx.load(tmp_path / f"{source}.onnx"))
    assert seen["slice"] == seen["fresh"]
    convolutions = sum(layer.operator.op in {"conv", "depthwise"} for layer in space.network.layers)
    assert seen["slice"]["QLinearConv"] == convolutions
    assert seen["slice"]["Conv"] == 0
    variant = onnx.load_model_from_string(factory(space, FLOAT32, FormatName.ONNX).variant(config))
    assert variant == onnx.load_model_from_string(fresh[FLOAT32])


def test_both_formats_compute_the_same(residual_case: Case, factory: MakeFactory) -> None:
    """The ONNX network is written by us and the TFLite one by TensorFlow, from the same weights."""
    from formats.test_variants_tflite import run as run_tflite

    images, config = some_images(residual_case), residual_case.config
    ours = run(factory(residual_case.space, FLOAT32, FormatName.ONNX).variant(config), images)
    tflite = factory(residual_case.space, FLOAT32, FormatName.TFLITE).variant(config)
    np.testing.assert_allclose(ours, run_tflite(tflite, images.transpose(0, 2, 3, 1)), atol=1e-5)


def test_onnx_variants_follow_each_other_without_traces(residual_case: Case, factory: MakeFactory) -> None:
    """The template is written in place: a wide variant after a narrow one must be whole again."""
    made, space = factory(residual_case.space, INT8, FormatName.ONNX), residual_case.space
    first = made.variant(space.largest)
    made.variant(space.smallest)
    assert made.variant(space.largest) == first


def test_an_onnx_file_that_is_none_or_another_is_refused(residual_case: Case, mobilenet_case: Case) -> None:
    """A damaged file and a file of another network have different messages."""
    space = residual_case.space
    widths = space.widths(space.largest)
    with pytest.raises(FileError, match="damaged"):
        OnnxLayout(b"not a model", space.network, widths)
    other = mobilenet_case.space
    model = onnx_network(other.network, other.widths(other.largest), mobilenet_case.weights)
    with pytest.raises(MismatchError, match="operators"):
        OnnxLayout(model.SerializeToString(), space.network, widths)
