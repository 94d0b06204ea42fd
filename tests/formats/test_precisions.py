"""Files in float16 and in dynamic int8, against what the frameworks' own converters make, and cut against afresh."""

from __future__ import annotations

import copy
from collections import Counter
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from formats.test_variants_onnx import run as run_onnx
from formats.test_variants_tflite import operators, shapes
from formats.test_variants_tflite import run as run_tflite
from support import require

from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.inspect import model_facts
from edgewidth.formats.registry import FORMATS
from edgewidth.graph.operators import Add, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TFLITE, ONNX = FormatName.TFLITE, FormatName.ONNX
FLOAT16, DYNAMIC, FLOAT32 = Precision.FLOAT16, Precision.DYNAMIC_INT8, Precision.FLOAT32


def space_around_the_limit() -> SearchSpace:
    """Its pointwise kernel has 1,024 numbers at 32 and 32 channels, which is where dynamic int8 begins in TFLite."""
    nodes = (
        Node(name="stem", operator=Conv(width="a", kernel=3, stride=2, activation="relu6"), inputs=(INPUT,)),
        Node(name="spread", operator=Depthwise(kernel=3, activation="relu6"), inputs=("stem",)),
        Node(name="mix", operator=Conv(width="b", activation="relu6"), inputs=("spread",)),
        Node(name="again", operator=Conv(width="b", kernel=3), inputs=("mix",)),
        Node(name="sum", operator=Add(activation="relu"), inputs=("again", "mix")),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("sum",)),
        Node(name="logits", operator=Dense(width=40), inputs=("pool",)),
    )
    network = NetworkSpec(family="limit", resolution=16, in_channels=3, nodes=nodes)
    variables = (
        WidthVariable(name="a", base=32, choices=(16, 32, 128)),
        WidthVariable(name="b", base=32, choices=(10, 25, 26, 31, 32)),
    )
    return SearchSpace(network=network, variables=variables)


SPACE = space_around_the_limit()
CONFIGS = [ChannelConfig((a, b)) for a, b in ((128, 32), (32, 32), (32, 31), (16, 26), (16, 25), (16, 10))]
WEIGHTS = random_weights(SPACE.network, SPACE.widths(SPACE.largest), seed=0)
IMAGES = np.random.default_rng(1).uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)


def conversion(config: ChannelConfig, *precisions: Precision) -> Conversion:
    weights = slice_weights(SPACE, config, WEIGHTS)
    return Conversion(SPACE.network, SPACE.widths(config), weights, precisions)


def fresh(name: FormatName, precision: Precision, config: ChannelConfig) -> bytes:
    """Converted from the weights of a configuration; by TensorFlow in this process, which is quicker."""
    if name is ONNX:
        return FORMATS[name].convert(conversion(config, precision))[precision]
    require(find_spec("tensorflow"), "tensorflow")
    from edgewidth.formats.tflite.worker import convert_keras

    return convert_keras(keras_model(config), [precision], None)[precision]


def keras_model(config: ChannelConfig) -> Any:
    from edgewidth.formats.tflite.keras_network import keras_network

    return keras_network(SPACE.network, SPACE.widths(config), slice_weights(SPACE, config, WEIGHTS))


def run(name: FormatName, content: bytes) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (
        run_tflite(content, IMAGES) if name is TFLITE else run_onnx(content, IMAGES.transpose(0, 3, 1, 2))
    )
    return found


def error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The root of the mean square, in units of the spread of what is expected."""
    return float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())


ROUNDING = {FLOAT16: (1e-5, 2e-3), DYNAMIC: (1e-4, 0.03)}
"""The least and the greatest error that rounding to a precision makes here; in small kernels it makes none."""


@pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))
@pytest.mark.parametrize("precision", ROUNDING)
def test_a_slice_is_what_converting_afresh_gives(name: FormatName, precision: Precision) -> None:
    """At widths on both sides of where TensorFlow begins to round: the same operators, shapes and types."""
    layout = FORMATS[name].layout(fresh(name, precision, SPACE.largest), conversion(SPACE.largest, precision))
    for config in (*CONFIGS, SPACE.largest):
        variant, expected = layout.write(SPACE.widths(config)), fresh(name, precision, config)
        assert model_facts(variant).precision is model_facts(expected).precision
        if name is ONNX:
            assert_alike(onnx.load_model_from_string(variant), onnx.load_model_from_string(expected))
        else:
            assert operators(variant) == operators(expected)
            assert shapes(variant) == shapes(expected)
        # Kernels that are rounded have the scales of the widest network.
        assert error(run(name, variant), run(name, expected)) < (1e-6 if precision is FLOAT16 else ROUNDING[DYNAMIC][1])


def assert_alike(variant: onnx.ModelProto, expected: onnx.ModelProto) -> None:
    """The same graph with constants of the same names, types and shapes; what is not rounded to integers is equal."""
    assert list(variant.graph.node) == list(expected.graph.node)
    for one, other in zip(variant.graph.initializer, expected.graph.initializer, strict=True):
        assert (one.name, one.data_type, one.dims) == (other.name, other.data_type, other.dims)
        if not one.name.endswith(("_quantized", "_transposed", "_scale")):
            assert one == other


@pytest.mark.parametrize("name", FORMATS, ids=list(FORMATS))
@pytest.mark.parametrize("precision", ROUNDING)
def test_files_differ_from_float32_by_rounding(name: FormatName, precision: Precision) -> None:
    """And are about a half and a quarter as large."""
    exact, rounded = (fresh(name, one, SPACE.largest) for one in (FLOAT32, precision))
    assert model_facts(rounded).precision is precision
    least, greatest = ROUNDING[precision]
    assert least < error(run(name, rounded), run(name, exact)) < greatest
    share = {FLOAT16: 0.5, DYNAMIC: 0.25}[precision]
    assert share * len(exact) < len(rounded) < (share + 0.25) * len(exact)


@pytest.mark.parametrize("precision", ROUNDING)
def test_tflite_files_are_tensorflows_own(precision: Precision) -> None:
    """With the converter's usual options: the same operators, and numbers that differ by rounding at most."""
    content = fresh(TFLITE, precision, SPACE.largest)
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model(SPACE.largest))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision is FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    usual = bytes(converter.convert())
    assert operators(content) == operators(usual)
    assert shapes(content) == shapes(usual)
    assert error(run(TFLITE, content), run(TFLITE, usual)) < (1e-6 if precision is FLOAT16 else ROUNDING[DYNAMIC][1])


def test_keras_exports_once_for_all_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each file is byte for byte TensorFlow's own, but for the field that says what it was converted from."""
    require(find_spec("tensorflow"), "tensorflow")
    import keras
    import tensorflow as tf

    from edgewidth.formats.tflite.worker import convert_keras

    model = keras_model(SPACE.largest)
    exact = bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    archive, exports = keras.export.ExportArchive, count()

    def exported() -> Any:
        next(exports)
        return archive()

    monkeypatch.setattr(keras.export, "ExportArchive", exported)
    files = convert_keras(model, [FLOAT32, *ROUNDING], None)
    assert next(exports) == 1
    assert [model_facts(content).precision for content in files.values()] == [FLOAT32, *ROUNDING]
    assert sum(one != other for one, other in zip(files[FLOAT32], exact, strict=True)) <= 2


def test_onnx_in_float16_is_what_onnx_runtimes_tool_makes() -> None:
    """The same operators and constants."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    exact = onnx.load_model_from_string(fresh(ONNX, FLOAT32, SPACE.largest))
    usual = convert_float_to_float16(copy.deepcopy(exact), keep_io_types=True)
    found = onnx.load_model_from_string(fresh(ONNX, FLOAT16, SPACE.largest))
    assert op_types(found) == op_types(usual)
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in usual.graph.initializer}
    for tensor in found.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), numbers[tensor.name])
    images = IMAGES.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(
        run_onnx(found.SerializeToString(), images), run_onnx(usual.SerializeToString(), images), atol=1e-6
    )


def op_types(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_onnx_in_dynamic_int8_is_what_onnx_runtimes_tool_makes(tmp_path: Path) -> None:
    """The same operators but for a bias that is reshaped; with a scale for each channel it is more accurate."""
    from onnxruntime import quantization

    exact = onnx.load_model_from_string(fresh(ONNX, FLOAT32, SPACE.largest))
    path = tmp_path / "usual.onnx"
    unsigned = quantization.QuantType.QUInt8
    usual_source = copy.deepcopy(exact)
    quantization.quantize_dynamic(usual_source, path, weight_type=unsigned, nodes_to_exclude=["spread"])
    usual = onnx.load(path)
    found = onnx.load_model_from_string(fresh(ONNX, DYNAMIC, SPACE.largest))
    expected = op_types(usual)
    del expected["Reshape"]
    assert op_types(found) == expected
    assert op_types(found)["ConvInteger"] == 3
    images = IMAGES.transpose(0, 3, 1, 2)
    truth, ours, theirs = (run_onnx(one.SerializeToString(), images) for one in (exact, found, usual))
    assert error(ours, theirs) < 2 * ROUNDING[DYNAMIC][1]
    assert error(ours, truth) < error(theirs, truth)


def test_onnx_runtime_multiplies_integers(tmp_path: Path) -> None:
    """In convolutions and the dense layer, which it executes as one operator."""
    optimised = tmp_path / "optimised.onnx"
    run_onnx(fresh(ONNX, DYNAMIC, SPACE.largest), IMAGES.transpose(0, 3, 1, 2), optimised)
    found = op_types(onnx.load(optimised))
    assert (found["ConvInteger"], found["DynamicQuantizeMatMul"], found["Conv"]) == (3, 1, 1)
