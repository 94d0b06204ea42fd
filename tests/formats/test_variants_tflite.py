from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgewidth.errors import InputError, MismatchError
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import random_weights, slice_weights
from edgewidth.formats.tflite.file import read_model, tensor_data, write_model
from edgewidth.formats.tflite.slices import tflite_layout
from edgewidth.formats.variants import VariantFactory
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from formats.cases import Case, Exported, MakeFactory
    from numpy.typing import NDArray


INT8, FLOAT32 = Precision.INT8, Precision.FLOAT32


def run(content: bytes, inputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs (n, classes) of inputs (n, height, width, channels), as stored: no scale applied."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in inputs:
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return np.array(outputs)


def operators(content: bytes) -> list[int]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in model.subgraphs[0].operators]


def shapes(content: bytes) -> Counter[tuple[int, tuple[int, ...]]]:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return Counter((tensor.type, tuple(map(int, tensor.shape))) for tensor in model.subgraphs[0].tensors)


def masked(content: bytes, config: ChannelConfig, case: Case) -> bytes:
    """The maximum-width file with zero where a narrower network has no weight: the same function by another way."""
    space = case.space
    kept = slice_weights(space, config, case.weights)
    model = read_model(content)
    graph = model.subgraphs[0]
    for layer, operator in zip(weighted_layers(case), weighted_operators(model), strict=True):
        assert case.weights[layer].bias.shape == tuple(graph.tensors[operator.inputs[2]].shape)
        out, into = kept[layer].kernel.shape[:2]
        for index in operator.inputs[1:]:
            tensor = graph.tensors[index]
            data = tensor_data(model, tensor).copy()
            if data.ndim == 1:
                data[out:] = 0
            elif data.shape[0] == 1:
                data[..., out:] = 0
            else:
                data[out:] = 0
                data[..., into:] = 0
            model.buffers[tensor.buffer].data = data.reshape(-1).view(np.uint8)
    return write_model(model)


def weighted_layers(case: Case) -> list[str]:
    return [layer.name for layer in case.space.network.layers if layer.name in case.weights]


def weighted_operators(model: Any) -> list[Any]:
    return [operator for operator in model.subgraphs[0].operators if len(operator.inputs) == 3]


@pytest.mark.parametrize(
    ("name", "precision"), [("mobilenet_case", INT8), ("residual_case", INT8), ("residual_case", FLOAT32)]
)
def test_a_slice_computes_what_masking_the_whole_network_computes(
    name: str, precision: Precision, factory: MakeFactory, request: pytest.FixtureRequest
) -> None:
    """Channels that are cut must not have mattered; in int8 this holds to the last bit."""
    case: Case = request.getfixturevalue(name)
    made = factory(case.space, precision, FormatName.TFLITE)
    shape = (4, 32, 32, case.space.network.in_channels)
    inputs = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    if precision is INT8:
        inputs = np.rint(inputs * 127)
    whole = made.variant(case.space.largest)
    sliced = run(made.variant(case.config), inputs)
    expected = run(masked(whole, case.config, case), inputs)
    assert len(np.unique(sliced)) > 5
    np.testing.assert_allclose(sliced, expected, atol=0 if precision is INT8 else 1e-5)
    assert not np.array_equal(sliced, run(whole, inputs))


@pytest.mark.parametrize("precision", [INT8, FLOAT32])
def test_a_slice_is_what_the_converter_makes_of_sliced_weights(
    residual_case: Case, exported: Exported, factory: MakeFactory, precision: Precision
) -> None:
    """The same operators and tensor shapes, and in float32 the same outputs; int8 has scales of its own."""
    converted = exported.folder.model(precision, FormatName.TFLITE).read_bytes()
    variant = factory(residual_case.space, precision, FormatName.TFLITE).variant(exported.artifacts.config)
    assert operators(variant) == operators(converted)
    assert shapes(variant) == shapes(converted)
    if precision is FLOAT32:
        inputs = np.random.default_rng(2).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
        np.testing.assert_allclose(run(variant, inputs), run(converted, inputs), atol=1e-5)


def test_mobilenet_has_the_converters_operators_and_no_padding(mobilenet_case: Case, factory: MakeFactory) -> None:
    """Batch normalisation, ReLU6 and SAME padding are all inside the convolutions."""
    code = schema.BuiltinOperator
    found = Counter(operators(factory(mobilenet_case.space, INT8, FormatName.TFLITE).variant(mobilenet_case.config)))
    assert found == {code.CONV_2D: 14, code.DEPTHWISE_CONV_2D: 13, code.MEAN: 1, code.FULLY_CONNECTED: 1}


def test_every_configuration_loads_and_narrow_ones_are_small(residual_case: Case, factory: MakeFactory) -> None:
    """All sixteen: none of them leaves the interpreter's checks unhappy, and the size follows the widths."""
    space = residual_case.space
    made = factory(space, INT8, FormatName.TFLITE)
    images = np.zeros((1, 32, 32, 3), np.int8)
    sizes = {}
    for index in np.ndindex(4, 4):
        config = space.config(index)
        content = made.variant(config)
        assert run(content, images).shape == (1, 5)
        sizes[config] = len(content)
    assert sizes[space.smallest] == min(sizes.values()) < sizes[space.largest] == max(sizes.values())


def test_constants_are_aligned_as_the_schema_asks(residual_case: Case, factory: MakeFactory) -> None:
    """16 bytes from the start of the file, for every buffer that holds something."""
    content = factory(residual_case.space, INT8, FormatName.TFLITE).variant(residual_case.config)
    model = schema.Model.GetRootAs(content, 0)
    starts = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            starts.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert starts
    assert all(start % 16 == 0 for start in starts)


def test_a_shared_buffer_is_cut_for_each_of_its_tensors(residual_case: Case, factory: MakeFactory) -> None:
    """The converter stores equal constants once: here the biases of two layers of different widths."""
    space, weights, config = residual_case
    content = factory(space, FLOAT32, FormatName.TFLITE).variant(space.largest)
    shared = {
        name: layer._replace(bias=weights["stem"].bias) if name == "mix" else layer for name, layer in weights.items()
    }
    model = read_model(content)
    graph = model.subgraphs[0]
    biases = {graph.tensors[o.inputs[1]].name: graph.tensors[o.inputs[2]] for o in weighted_operators(model)}
    by_content = {bytes(model.buffers[t.buffer].data): t for t in biases.values()}
    stem, mix = (by_content[weights[name].bias.tobytes()] for name in ("stem", "mix"))
    mix.buffer = stem.buffer
    both = write_model(model)
    widths = space.widths(config)
    variant = tflite_layout(both, Conversion(space.network, space.widths(space.largest), shared, [FLOAT32])).write(
        widths
    )
    inputs = np.random.default_rng(3).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    expected = masked_biases(factory(space, FLOAT32, FormatName.TFLITE).variant(config), weights, widths)
    np.testing.assert_allclose(run(variant, inputs), run(expected, inputs), atol=1e-6)


def masked_biases(content: bytes, weights: Any, widths: dict[str, int]) -> bytes:
    """The sliced file with the bias of ``mix`` replaced by the leading part of ``stem``'s."""
    model = read_model(content)
    before = weights["mix"].bias[: widths["b"]].tobytes()
    (buffer,) = (b for b in model.buffers if b.data is not None and bytes(b.data) == before)
    buffer.data = np.frombuffer(weights["stem"].bias[: widths["b"]].tobytes(), np.uint8)
    return write_model(model)


def test_another_networks_file_is_refused(residual_case: Case, factory: MakeFactory) -> None:
    """The labels come from the numbers, so other numbers are noticed."""
    space = residual_case.space
    content = factory(space, FLOAT32, FormatName.TFLITE).variant(space.largest)
    widths = space.widths(space.largest)
    other = random_weights(space.network, widths, seed=99)
    with pytest.raises(MismatchError, match="weights are not the network's"):
        tflite_layout(content, Conversion(space.network, widths, other, [FLOAT32]))


def test_a_damaged_cached_file_is_made_again(
    residual_case: Case, factory: MakeFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file in the cache is no reason to fail."""
    space = residual_case.space
    made = factory(space, FLOAT32, FormatName.TFLITE)
    (path,) = made.cache.glob(f"variants-{space.fingerprint}-float32-*.tflite")
    whole = path.read_bytes()
    monkeypatch.setattr("edgewidth.formats.tflite.convert.tflite_files", lambda *_, **__: {FLOAT32: whole})
    for length in (0, 7, 100, len(whole) // 4, len(whole) // 2, len(whole) - 1):
        (tmp_path / path.name).write_bytes(whole[:length])
        again = VariantFactory(space, FLOAT32, FormatName.TFLITE, tmp_path)
        assert again.variant(space.largest) == made.variant(space.largest)
        assert (tmp_path / path.name).read_bytes() == whole


def test_another_source_converts_anew(
    residual_case: Case, factory: MakeFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier state of edgewidth's own code converted is not served."""
    space = residual_case.space
    made = factory(space, FLOAT32, FormatName.TFLITE)
    (path,) = made.cache.glob(f"variants-{space.fingerprint}-float32-*.tflite")
    conversions = []

    def convert(*_: object, **__: object) -> dict[Precision, bytes]:
        conversions.append(path.read_bytes())
        return {FLOAT32: conversions[-1]}

    monkeypatch.setattr("edgewidth.formats.tflite.convert.tflite_files", convert)
    source = tmp_path / "operator.py"
    for text, expected in (("a = 1", 1), ("a = 1", 1), ("a = 2", 2)):
        source.write_text(text)
        monkeypatch.setattr("edgewidth.formats.variants._sources", lambda _: [source])
        VariantFactory(space, FLOAT32, FormatName.TFLITE, tmp_path)
        assert len(conversions) == expected


def test_a_cache_that_cannot_be_written_costs_only_time(
    residual_case: Case, factory: MakeFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a home folder in a container."""
    space = residual_case.space
    made = factory(space, FLOAT32, FormatName.TFLITE)
    whole = next(made.cache.glob(f"variants-{space.fingerprint}-float32-*.tflite")).read_bytes()
    monkeypatch.setattr("edgewidth.formats.tflite.convert.tflite_files", lambda *_, **__: {FLOAT32: whole})
    (tmp_path / "file").write_text("no folder")
    again = VariantFactory(space, FLOAT32, FormatName.TFLITE, tmp_path / "file")
    assert again.variant(space.largest) == made.variant(space.largest)


def test_a_configuration_outside_the_space_is_refused(residual_case: Case, factory: MakeFactory) -> None:
    """A width that was never a choice gives a message, not a file."""
    with pytest.raises(InputError, match="not in the search space"):
        factory(residual_case.space, INT8, FormatName.TFLITE).variant(ChannelConfig((5, 8)))
