from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from formats.cases import CLASS_NAMES, export_case
from small_onnx import small_onnx
from small_tflite import small_tflite

from edgewidth.errors import DataError, FileError, MismatchError, ParityError
from edgewidth.formats.inspect import inspect_model, run_logits
from edgewidth.formats.registry import format_of
from edgewidth.formats.sizes import METADATA_BYTES
from edgewidth.records.artifact import Artifacts
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from formats.cases import Case, Exported, MakeFactory


def test_every_artifact_computes_what_torch_computes(exported: Exported) -> None:
    """float32 to rounding; int8 nearly, as cosine and agreement say."""
    artifacts = exported.artifacts.artifacts
    assert {(a.format, a.precision) for a in artifacts} == {
        (f, p) for f in ("tflite", "onnx") for p in (Precision.INT8, Precision.FLOAT32)
    }
    assert exported.artifacts.reference_accuracy_percent == 100
    for artifact in artifacts:
        if artifact.precision is Precision.FLOAT32:
            assert artifact.max_difference < 1e-4
            assert artifact.accuracy_percent == artifact.agreement_percent == 100
        else:
            assert artifact.max_difference > 0
            assert artifact.cosine > 0.999
            assert artifact.agreement_percent >= 90


def test_what_is_recorded_is_what_is_in_the_files(exported: Exported) -> None:
    """Size, hash and accuracy, from the file on the disk."""
    folder, artifacts, arguments = exported
    images, _, reference = arguments["validation"]
    assert len(np.unique(reference.argmax(1))) > 2
    for artifact in artifacts.artifacts:
        content = (folder.path / artifact.file).read_bytes()
        assert len(content) == artifact.size_bytes
        assert hashlib.sha256(content).hexdigest() == artifact.sha256
        logits = run_logits(content, images)
        assert np.mean(logits.argmax(1) == reference.argmax(1)) * 100 == pytest.approx(artifact.accuracy_percent)
        assert np.abs(logits - reference).max() == pytest.approx(artifact.max_difference)
    artifacts.write(folder.artifacts)
    assert Artifacts.read(folder.artifacts) == artifacts


def test_the_files_say_how_to_run_them(exported: Exported) -> None:
    """Normalisation, layout, scales, class names and configuration are read back from each file alone."""
    folder, artifacts = exported.folder, exported.artifacts
    assert folder.labels.read_text(encoding="utf-8").splitlines() == list(CLASS_NAMES)
    for artifact in artifacts.artifacts:
        facts = inspect_model(folder.path / artifact.file)
        assert facts.format is artifact.format
        assert facts.precision is artifact.precision
        found = facts.metadata
        assert found is not None
        assert (found.config, found.class_names) == (artifacts.config, CLASS_NAMES)
        assert (found.pixel_mean, found.pixel_std, found.resolution, found.channels) == (127.5, 127.5, 32, 3)
        shape = {"NHWC": (1, 32, 32, 3), "NCHW": (1, 3, 32, 32)}[found.layout]
        assert facts.inputs[0].shape == shape
        assert facts.outputs[0].shape == (1, 5)
        assert found.input_quantisation == facts.inputs[0].quantisation == artifact.input_quantisation
        quantised = artifact.format == "tflite" and artifact.precision is Precision.INT8
        assert (found.input_quantisation is not None) == quantised
        assert facts.inputs[0].dtype == ("int8" if quantised else "float32")


@pytest.mark.parametrize("class_names", [("cat", "dog"), tuple(f"{'éx'[i % 2]}" * 40 + str(i) for i in range(500))])
def test_room_for_metadata_is_enough_and_not_much_more(exported: Exported, class_names: tuple[str, ...]) -> None:
    """Also for hundreds of long names, which a .tflite holds twice."""
    found = inspect_model(exported.folder.model(Precision.INT8, FormatName.TFLITE)).metadata
    assert found is not None
    metadata = found.model_copy(update={"class_names": class_names})
    for content in (small_tflite(), small_onnx((8,))):
        file_format = format_of(content)
        size = len(file_format.annotate(content, metadata)) - len(content)
        assert size <= file_format.metadata_bytes(class_names) <= size + METADATA_BYTES


def test_standard_tools_find_the_labels(exported: Exported) -> None:
    """A .tflite is also a zip archive with the label file; an .onnx has the standard image properties."""
    folder = exported.folder
    content = folder.model(Precision.INT8, FormatName.TFLITE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().splitlines() == list(CLASS_NAMES)
    properties = {p.key: p.value for p in onnx.load(folder.model(Precision.INT8, FormatName.ONNX)).metadata_props}
    assert properties["Image.NominalPixelRange"] == "Normalized_1_1"
    assert properties["Image.BitmapPixelFormat"] == "Rgb8"


def test_the_standard_tflite_metadata_is_a_valid_flatbuffer(exported: Exported) -> None:
    """Walked by the offsets that the schema gives, down to the normalisation and the name of the label file."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers.table import Table

    def child(table: Table, slot: int) -> Table:
        return Table(table.Bytes, table.Indirect(table.Pos + table.Offset(slot)))

    def first(table: Table, slot: int) -> Table:
        return Table(table.Bytes, table.Indirect(table.Vector(table.Offset(slot))))

    model = schema.Model.GetRootAs(exported.folder.model(Precision.INT8, FormatName.TFLITE).read_bytes(), 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    content = bytes(model.Buffers(entries[b"TFLITE_METADATA"]).DataAsNumpy())
    assert content[4:8] == b"M001"
    root = Table(content, int.from_bytes(content[:4], "little"))
    graph = first(root, 10)
    source, target = first(graph, 8), first(graph, 10)
    unit = first(source, 12)
    options = child(unit, 6)
    for slot in (4, 6):
        start = options.Vector(options.Offset(slot))
        assert np.frombuffer(content, "<f4", 1, start) == 127.5
    name = first(target, 16)
    assert name.String(name.Pos + name.Offset(4)) == b"labels.txt"


def test_a_file_that_computes_something_else_is_not_written(
    residual_case: Case, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity is a gate, and one wrong logit of one image closes it."""
    converted = {precision: exported.folder.model(precision, FormatName.TFLITE).read_bytes() for precision in Precision}
    monkeypatch.setattr("edgewidth.formats.tflite.convert.tflite_files", lambda *_, **__: converted)
    truth = exported.arguments["validation"]
    wrong = truth.logits.copy()
    wrong[7, 3] += 0.1
    with pytest.raises(ParityError, match=r"model_float32\.tflite does not compute"):
        export_case(residual_case, tmp_path, validation=truth._replace(logits=wrong))
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_configuration_are_refused(residual_case: Case, tmp_path: Path) -> None:
    """Before anything is converted."""
    with pytest.raises(MismatchError, match="this configuration needs"):
        export_case(residual_case, tmp_path, weights=residual_case.weights)


def test_data_that_do_not_fit_are_refused(residual_case: Case, exported: Exported, tmp_path: Path) -> None:
    """As many labels as images, as many names as classes."""
    truth = exported.arguments["validation"]._replace(labels=np.zeros(149, np.int64))
    with pytest.raises(DataError, match="150 validation images, 149 labels"):
        export_case(residual_case, tmp_path, validation=truth)
    with pytest.raises(DataError, match="4 class names"):
        export_case(residual_case, tmp_path, class_names=CLASS_NAMES[:4])


def test_images_of_another_shape_are_refused(exported: Exported) -> None:
    """For both layouts."""
    for format_name in FormatName:
        content = exported.folder.path.joinpath(f"model_int8.{format_name}").read_bytes()
        with pytest.raises(MismatchError, match="input"):
            run_logits(content, np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("text.tflite", lambda _: b"this is a text"),
        ("empty.onnx", lambda _: b""),
        ("cut.tflite", lambda folder: (folder / "model_int8.tflite").read_bytes()[:5000]),
        ("cut.onnx", lambda folder: (folder / "model_int8.onnx").read_bytes()[:5000]),
        ("zeros.onnx", lambda _: b"\x08" + bytes(100)),
    ],
)
def test_a_file_that_is_no_model_has_one_clear_message(
    name: str, make: Any, exported: Exported, tmp_path: Path
) -> None:
    """Text, nothing, and halves of models."""
    path = tmp_path / name
    path.write_bytes(make(exported.folder.path))
    with pytest.raises(FileError, match=name):
        inspect_model(path)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(FileError, match=r"none.tflite could not be read: No such file"):
        inspect_model(tmp_path / "none.tflite")


def test_a_file_of_another_maker_is_read_and_run(tmp_path: Path) -> None:
    """An open batch, the channels last, no metadata: the mean of each channel, known in closed form."""
    helper, path = onnx.helper, tmp_path / "other.onnx"
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    facts = inspect_model(path)
    assert (facts.format, facts.precision, facts.metadata) == (FormatName.ONNX, Precision.FLOAT32, None)
    assert (facts.inputs[0].shape, facts.outputs[0].shape) == ((-1, 8, 8, 3), (-1, 3))
    images = np.random.default_rng(4).integers(0, 256, (130, 8, 8, 3), np.uint8)
    expected = images.mean((1, 2)) / 127.5 - 1
    np.testing.assert_allclose(run_logits(path.read_bytes(), images, threads=2), expected, atol=1e-6)


def test_a_variant_is_a_file_without_metadata(residual_case: Case, factory: MakeFactory, tmp_path: Path) -> None:
    """It is for measuring: nothing but its precision is to be known."""
    for format_name in FormatName:
        path = tmp_path / f"variant.{format_name}"
        path.write_bytes(factory(residual_case.space, Precision.INT8, format_name).variant(residual_case.config))
        facts = inspect_model(path)
        assert (facts.format, facts.precision, facts.metadata) == (format_name, Precision.INT8, None)
