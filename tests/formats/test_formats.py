"""What every format must do, by the answers of the runtimes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from formats.cases import CLASS_NAMES, TASK, torch_logits

from edgewidth.errors import FileError
from edgewidth.formats.conversion import Conversion
from edgewidth.formats.folded import CHANNELS, FILTERS, SIZE, slice_weights, trial_kernel
from edgewidth.formats.registry import FORMATS, format_of
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.artifact import ArtifactMetadata
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from formats.cases import Case
    from numpy.typing import NDArray

    from edgewidth.formats.format import Format

every_format = pytest.mark.parametrize("file_format", FORMATS.values(), ids=list(FORMATS))


def litert(content: bytes, image: NDArray[Any]) -> NDArray[Any]:
    """The first output for one image whose channels are last."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    output: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def onnx_runtime(content: bytes, image: NDArray[Any]) -> NDArray[Any]:
    """The same, with the channels put first and back."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    output: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: image.transpose(0, 3, 1, 2)})[0]
    return output.transpose(0, 2, 3, 1) if output.ndim == 4 else output


RUN: dict[FormatName, Callable[[bytes, NDArray[Any]], NDArray[Any]]] = {
    FormatName.TFLITE: litert,
    FormatName.ONNX: onnx_runtime,
}


def test_every_name_has_its_format() -> None:
    """And each stands under its own name."""
    assert set(FORMATS) == set(FormatName)
    assert all(one.name is name for name, one in FORMATS.items())


@pytest.fixture(scope="module")
def converted(residual_case: Case) -> dict[FormatName, bytes]:
    """The residual network at its maximum widths, in float32."""
    space = residual_case.space
    whole = Conversion(space.network, space.widths(space.largest), residual_case.weights, [Precision.FLOAT32])
    return {name: one.convert(whole)[Precision.FLOAT32] for name, one in FORMATS.items()}


@every_format
def test_converted_and_sliced_files_compute_what_torch_computes(
    file_format: Format, converted: dict[FormatName, bytes], residual_case: Case
) -> None:
    """At the maximum widths and at narrower ones, run by the format's own runtime without edgewidth."""
    space, whole, content = residual_case.space, residual_case.weights, converted[file_format.name]
    conversion = Conversion(space.network, space.widths(space.largest), whole, [Precision.FLOAT32])
    layout = file_format.layout(content, conversion)
    image = np.random.default_rng(5).integers(0, 256, (1, 32, 32, 3), np.uint8)
    narrow = space.widths(residual_case.config)
    for file, weights in (
        (content, whole),
        (layout.write(narrow), slice_weights(space, residual_case.config, whole)),
    ):
        logits = RUN[file_format.name](file, image.astype(np.float32) / 127.5 - 1)
        np.testing.assert_allclose(logits, torch_logits(weights, image), atol=1e-4)


@every_format
def test_a_file_is_recognised_and_described(file_format: Format, converted: dict[FormatName, bytes]) -> None:
    """By its content alone, and by no other format."""
    content = converted[file_format.name]
    assert format_of(content) is file_format
    assert [one.name for one in FORMATS.values() if one.recognises(content)] == [file_format.name]
    facts = file_format.facts(content)
    assert (facts.format, facts.precision, facts.metadata) == (file_format.name, Precision.FLOAT32, None)
    shape = {"NHWC": (1, 32, 32, 3), "NCHW": (1, 3, 32, 32)}[file_format.image_layout]
    assert [(one.shape, one.dtype) for one in facts.inputs] == [(shape, "float32")]
    with pytest.raises(FileError, match=r"It is no \.tflite or \.onnx file"):
        format_of(b"x" + content)


@every_format
def test_an_annotated_file_computes_the_same(file_format: Format, converted: dict[FormatName, bytes]) -> None:
    """Bit for bit; and what was written is read back."""
    content = converted[file_format.name]
    metadata = ArtifactMetadata(
        edgewidth_version="0",
        network="residual",
        config=ChannelConfig((12, 8)),
        precision=Precision.FLOAT32,
        resolution=32,
        channels=3,
        layout=file_format.image_layout,
        pixel_mean=127.5,
        pixel_std=127.5,
        class_names=CLASS_NAMES,
    )
    annotated = file_format.annotate(content, metadata, TASK.text)
    assert file_format.facts(annotated).metadata == metadata
    image = np.random.default_rng(6).normal(size=(1, 32, 32, 3)).astype(np.float32)
    run = RUN[file_format.name]
    np.testing.assert_array_equal(run(annotated, image), run(content, image))


@every_format
def test_the_probe_is_its_convolution(file_format: Format) -> None:
    """At a few places, by the sum that a convolution is."""
    image = np.random.default_rng(1).normal(size=(1, SIZE, SIZE, CHANNELS)).astype(np.float32)
    output = RUN[file_format.name](file_format.trial(), image)
    assert output.shape == (1, SIZE, SIZE, FILTERS)
    padded, kernel = np.pad(image[0], ((1, 1), (1, 1), (0, 0))), trial_kernel()
    for row, column in ((0, 0), (7, 30), (SIZE - 1, SIZE - 1)):
        patch = padded[row : row + 3, column : column + 3]
        np.testing.assert_allclose(output[0, row, column], (kernel * patch).sum((1, 2, 3)), atol=1e-4)
