"""What files say of themselves, read without a runtime: against what the runtimes say of the same files."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from small_tflite import small_tflite, with_second_graph

from edgewidth.errors import FileError
from edgewidth.formats.inspect import inspect_model, model_facts
from edgewidth.formats.inspect import read_model as whole_model
from edgewidth.formats.tflite.file import read_model, write_model
from edgewidth.records.measurement import FormatName, OtherPrecision, Precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from formats.cases import Exported

F32, F16, I64 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FLOAT16, Precision.FLOAT32])
def test_tflite_files_are_what_litert_says(exported: Exported, precision: Precision) -> None:
    """Names, shapes, types and scales of inputs and outputs."""
    content = exported.folder.model(precision, FormatName.TFLITE).read_bytes()
    interpreter, facts = Interpreter(model_content=content), model_facts(content)
    for found, details in (
        (facts.inputs, interpreter.get_input_details()),
        (facts.outputs, interpreter.get_output_details()),
    ):
        assert [
            (
                one.name,
                one.shape,
                np.dtype(one.dtype).type,
                (one.quantisation.scale, one.quantisation.zero_point) if one.quantisation else (0.0, 0),
            )
            for one in found
        ] == [(one["name"], tuple(one["shape_signature"]), one["dtype"], one["quantization"]) for one in details]
    assert facts.precision is precision


def test_signatures_are_what_litert_says() -> None:
    """The one of the first graph comes first, wherever it stands in the file."""
    content = with_second_graph(small_tflite(), signed=True)
    interpreter = Interpreter(model_content=content)
    assert [one.name for one in model_facts(content).entries] == ["first", "other"]
    for name in interpreter.get_signature_list():
        facts = model_facts(content, name)
        details = interpreter.get_signature_runner(name).get_input_details().values()
        assert facts.entry is not None
        assert facts.entry.tensors == tuple(one["index"] for one in details)
        assert [(one.name, one.shape) for one in facts.inputs] == [
            (one["name"], tuple(one["shape"])) for one in details
        ]


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FLOAT16, Precision.FLOAT32])
def test_onnx_files_are_what_onnx_runtime_says(exported: Exported, precision: Precision) -> None:
    """Constants are no inputs."""
    content = exported.folder.model(precision, FormatName.ONNX).read_bytes()
    session, facts = onnxruntime.InferenceSession(content), model_facts(content)
    for found, tensors in ((facts.inputs, session.get_inputs()), (facts.outputs, session.get_outputs())):
        assert [(one.name, one.shape) for one in found] == [(one.name, tuple(one.shape)) for one in tensors]
        assert {one.dtype for one in found} == {"float32"}
        assert {one.type for one in tensors} == {"tensor(float)"}
    assert facts.precision is precision


def test_precisions_of_tensorflow_are_told_apart() -> None:
    """By what its converter was asked for."""
    import tensorflow as tf

    inputs = tf.keras.Input((8, 8, 3))
    hidden = tf.keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(64)(tf.keras.layers.Flatten()(hidden)))
    rng = np.random.default_rng(0)

    def converted(change: Callable[[Any], None]) -> Any:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        change(converter)
        return model_facts(converter.convert()).precision

    def dynamic(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def half(converter: Any) -> None:
        dynamic(converter)
        converter.target_spec.supported_types = [tf.float16]

    def wide(converter: Any) -> None:
        dynamic(converter)
        converter.representative_dataset = lambda: iter([[rng.normal(size=(1, 8, 8, 3)).astype(np.float32)]] * 4)
        operators = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [operators]

    assert [converted(change) for change in (lambda _: None, dynamic, half, wide)] == [
        Precision.FLOAT32,
        Precision.DYNAMIC_INT8,
        Precision.FLOAT16,
        OtherPrecision.INT16X8,
    ]


def onnx_file(nodes: list[Any], kinds: tuple[int, int], shape: list[Any] | None, constants: Any = ()) -> bytes:
    """A model of these operators from ``x`` to ``y``."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kinds[0], shape)],
        [helper.make_tensor_value_info("y", kinds[1], None)],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "operator", "precision"),
    [
        (F32, "MatMul", Precision.FLOAT32),
        (F16, "MatMul", Precision.FLOAT16),
        (onnx.TensorProto.UINT8, "MatMulInteger", Precision.DYNAMIC_INT8),
    ],
)
def test_precisions_of_onnx_are_told_apart(kind: int, operator: str, precision: Any) -> None:
    weights = onnx.helper.make_tensor("w", kind, (4, 2), np.ones(8).tolist())
    content = onnx_file([onnx.helper.make_node(operator, ["x", "w"], ["y"])], (kind, F32), [1, 4], [weights])
    assert model_facts(content).precision is precision


def test_open_sizes_are_open() -> None:
    """Named ones, unnamed ones, and where not even their number is known."""
    node = [onnx.helper.make_node("Relu", ["x"], ["y"])]
    assert model_facts(onnx_file(node, (F32, F32), ["n", 3, None, 8])).inputs[0].shape == (-1, 3, -1, 8)
    assert model_facts(onnx_file(node, (F32, F32), None)).inputs[0].shape is None
    model = read_model(small_tflite())
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 256]
    assert model_facts(write_model(model)).inputs[0].shape == (-1, 256)


def forget_input(model: Any) -> None:
    """As a flipped bit in the graph's table does."""
    model.subgraphs[0].inputs = []


def forget_weights(model: Any) -> None:
    """Their buffer is empty."""
    model.buffers[model.subgraphs[0].tensors[1].buffer].data = None


def forget_output(model: Any) -> None:
    """The graph gives what nothing writes."""
    model.subgraphs[0].operators[0].outputs = [0]


def no_such_tensor(model: Any) -> None:
    """An index beyond the end."""
    model.subgraphs[0].operators[0].inputs = [0, 1, 77]


@pytest.mark.parametrize("damage", [forget_input, forget_weights, forget_output, no_such_tensor])
def test_a_graph_that_contradicts_itself_is_damaged(damage: Callable[[Any], None], tmp_path: Path) -> None:
    """Though all of it can be read."""
    model = read_model(small_tflite())
    damage(model)
    path = tmp_path / "d.tflite"
    path.write_bytes(write_model(model))
    with pytest.raises(FileError, match=r"d\.tflite .* damaged or cut short"):
        inspect_model(path)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_raise_nothing_else(exported: Exported, seed: int) -> None:
    """Files of both formats, with up to eight bytes changed or the end cut off, are described or refused."""
    rng = np.random.default_rng(seed)
    name = list(FormatName)[seed % 2]
    content = bytearray(exported.folder.model(Precision.INT8, name).read_bytes())
    for place in rng.integers(8, len(content), rng.integers(1, 9)):
        content[place] = rng.integers(256)
    if seed % 4 < 2:
        del content[rng.integers(9, len(content)) :]
    with contextlib.suppress(FileError):
        assert model_facts(bytes(content)).format is name


def test_a_number_of_graphs_that_cannot_be_takes_no_memory() -> None:
    """A flipped bit makes one of millions."""
    content = bytearray(small_tflite())
    table = schema.Model.GetRootAs(content, 0)._tab
    place = table.Vector(table.Offset(8)) - 4
    assert content[place : place + 4] == b"\1\0\0\0"
    content[place : place + 4] = (3_000_000).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(FileError, match="damaged"):
        model_facts(bytes(content))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def with_outside(folder: Path, place: str) -> Path:
    """A model that keeps a constant in another file."""
    weights = onnx.numpy_helper.from_array(np.arange(512, dtype=np.float32).reshape(256, 2), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    model = onnx.load_model_from_string(onnx_file([node], (F32, F32), [1, 256], [weights]))
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = place if entry.key == "location" else entry.value
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_constants_in_other_files_come_along(tmp_path: Path) -> None:
    """What ONNX Runtime computes of the file where it lies, it computes of the whole."""
    path, x = with_outside(tmp_path, "w.data"), np.ones((1, 256), np.float32)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    content = whole_model(path)
    np.testing.assert_array_equal(onnxruntime.InferenceSession(content).run(None, {"x": x})[0], expected)
    (tmp_path / "w.data").unlink()
    with pytest.raises(FileError, match=r"keeps constants in w\.data, which is not beside it"):
        inspect_model(path)


def test_links_as_hugging_face_keeps_files(tmp_path: Path) -> None:
    """A snapshot's names are links into one folder of all files, which have other names there; it is whole like any."""
    path, x = with_outside(tmp_path, "w.data"), np.ones((1, 256), np.float32)
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    snapshot, blobs = tmp_path / "snapshots" / "1" / "onnx", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in ("m.onnx", "w.data"):
        (tmp_path / name).rename(blobs / f"digest-{name[0]}")
        (snapshot / name).symlink_to(f"../../../blobs/digest-{name[0]}")
    content = whole_model(snapshot / "m.onnx")
    np.testing.assert_array_equal(onnxruntime.InferenceSession(content).run(None, {"x": x})[0], expected)


def test_a_link_beside_the_model(tmp_path: Path) -> None:
    """To a file of the same folder."""
    path = with_outside(tmp_path, "link.data")
    (tmp_path / "link.data").symlink_to("w.data")
    assert inspect_model(path).inputs


@pytest.mark.parametrize("place", ["../blobs/w.data", "w.data", "below/w.data"])
def test_links_that_lead_elsewhere(place: str, tmp_path: Path) -> None:
    """Out of the folder by name, to a file that is not where the model is, or from a folder below."""
    blobs, folder = tmp_path / "blobs", tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    blobs.mkdir()
    (folder / "m.onnx").symlink_to(with_outside(blobs, place))
    (tmp_path / "secret").write_bytes(bytes(4096))
    (folder / "w.data").symlink_to("../secret")
    (folder / "below" / "w.data").symlink_to("../../blobs/w.data")
    with pytest.raises(FileError, match="outside of its own folder"):
        inspect_model(folder / "m.onnx")


@pytest.mark.parametrize(("key", "value"), [("offset", "-5"), ("offset", "abc"), ("length", str(10**15))])
def test_places_in_other_files_that_cannot_be(tmp_path: Path, key: str, value: str) -> None:
    """One sentence, whatever onnx raises, and no more memory than the file has."""
    path = with_outside(tmp_path, "w.data")
    model = onnx.load(path, load_external_data=False)
    [tensor] = model.graph.initializer
    for entry in tensor.external_data:
        entry.value = value if entry.key == key else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match=r"constant w cannot be read|more than 2 GB"):
        inspect_model(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"MatMul", b"MatM\xffl", "a name in it is no text"),
        (b"image", b"im\xffge", "a name in it is no text"),
    ],
)
def test_names_that_are_no_text(old: bytes, new: bytes, told: str) -> None:
    """A protocol buffer is read with them, as bytes among the texts."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["image", "image"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("image", F32, [4, 4])],
        [onnx.helper.make_tensor_value_info("y", F32, None)],
    )
    content = onnx.helper.make_model(graph).SerializeToString()
    with pytest.raises(FileError, match=told):
        model_facts(content.replace(old, new))


def test_outputs_may_be_anything_and_sizes_nothing() -> None:
    """Classifiers of scikit-learn give maps; only inputs have to be tensors."""
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", F32, [0, 4])],
        [helper.make_tensor_sequence_value_info("y", F32, None)],
    )
    facts = model_facts(helper.make_model(graph).SerializeToString())
    assert [(one.shape, one.dtype) for one in (*facts.inputs, *facts.outputs)] == [
        ((0, 4), "float32"),
        (None, "sequence"),
    ]


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname"])
def test_no_file_outside_of_the_folder_is_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(FileError, match="outside of its own folder"):
        inspect_model(with_outside(inside, place))
