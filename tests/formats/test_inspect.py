"""Files of any maker: what they are, and what they compute here."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.inspect import inspect_model, run_model
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from pathlib import Path

    from formats.cases import Case, Exported, MakeFactory


def test_images_of_another_shape_are_refused(exported: Exported) -> None:
    """For both layouts."""
    for format_name in FormatName:
        content = exported.folder.path.joinpath(f"model_int8.{format_name}").read_bytes()
        with pytest.raises(MismatchError, match="input"):
            run_model(content, np.zeros((1, 64, 64, 3), np.uint8))


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a note of Git LFS"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (gzip.compress(b"model", mtime=0), "packed with gzip"),
        (b"\x18\0\0\0ORTM" + bytes(99), "ONNX Runtime's own format"),
    ],
)
def test_what_people_have_under_a_models_name_is_known(content: bytes, told: str, tmp_path: Path) -> None:
    """With what to do about it."""
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(FileError, match=told) as caught:
        inspect_model(path)
    assert caught.value.remedy


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
    np.testing.assert_allclose(run_model(path.read_bytes(), images, threads=2), expected, atol=1e-6)


def test_a_variant_is_a_file_without_metadata(residual_case: Case, factory: MakeFactory, tmp_path: Path) -> None:
    """It is for measuring: nothing but its precision is to be known."""
    for format_name in FormatName:
        path = tmp_path / f"variant.{format_name}"
        path.write_bytes(factory(residual_case.space, Precision.INT8, format_name).variant(residual_case.config))
        facts = inspect_model(path)
        assert (facts.format, facts.precision, facts.metadata) == (format_name, Precision.INT8, None)
