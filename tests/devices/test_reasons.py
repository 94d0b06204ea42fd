"""What runtimes say is told without the places in their source code; the texts are what they said here."""

from __future__ import annotations

import pytest

from edgewidth.devices.measure.reasons import plain_reason

GATHER = "indices_has_only_positive_elements was not true.gather index out of boundsNode number 3 (GATHER) failed"
SIGNATURE = (
    "onnxruntime::Model::Model(onnx::ModelProto&&, const PathString&, const IOnnxRuntimeOpSchemaRegistryList*, const "
    "logging::Logger&, const ModelOptions&)"
)
IR = "Unsupported model IR version: 99, max supported IR version: 14"
LOADING = (
    f"Load model from /home/pi/m.onnx failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:181 {SIGNATURE} {IR}"
)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"RuntimeError: tflite/kernels/gather.cc:166 {GATHER} to invoke.", f"{GATHER} to invoke"),
        (f"Fail: [ONNXRuntimeError] : 1 : FAIL : {LOADING}", IR),
        ("the process was ended by SIGSEGV", "the process was ended by SIGSEGV"),
        ("InvalidArgument: [ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Wrong dimensions.", "Wrong dimensions"),
        ("ValueError: One sentence. " + "Another, which is far too long to be told to anyone. " * 6, None),
        ("ValueError: " + "endless " * 60, None),
    ],
)
def test_reasons_are_sentences(said: str, told: str | None) -> None:
    found = plain_reason(said)
    assert ".cc" not in found
    assert len(found) <= 202
    assert told is None or found == told
    assert not found.endswith(".")
