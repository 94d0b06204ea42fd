"""Whether a device is fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.devices.check import check_device
from edgewidth.devices.probe import CHANNELS, FILTERS, SIZE, probe_model
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.errors import InputError
from edgewidth.records.measurement import FormatName, Runtime

if TYPE_CHECKING:
    from pathlib import Path


def test_both_probes_compute_the_same() -> None:
    """The hand-made TFLite file and the ONNX file are the same convolution."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    image = np.random.default_rng(1).normal(size=(1, SIZE, SIZE, CHANNELS)).astype(np.float32)
    interpreter = Interpreter(model_content=probe_model(FormatName.TFLITE))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    ours = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    session = onnxruntime.InferenceSession(probe_model(FormatName.ONNX), providers=["CPUExecutionProvider"])
    [theirs] = session.run(None, {"input": image.transpose(0, 3, 1, 2)})
    assert ours.shape == (1, SIZE, SIZE, FILTERS)
    np.testing.assert_allclose(ours, theirs.transpose(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("runtime", [Runtime.LITERT, Runtime.ONNXRUNTIME])
def test_this_machine_is_fit(runtime: Runtime, tmp_path: Path) -> None:
    """Everything is looked at, and a first latency is measured."""
    check = check_device(DeviceProfile(name="local", transport="local", workdir=str(tmp_path)), runtime, 1)
    assert check.ok, check.items
    assert {"reachable", "runtime", "space", "memory", "clock", "throttling", "latency"} <= {
        i.name for i in check.items
    }
    assert check.first is not None
    assert check.first.low_ms < check.first.value_ms < check.first.high_ms


def test_what_is_missing_is_an_item(tmp_path: Path) -> None:
    """No Python, no space, no such runtime: not fit, with a remedy."""
    profile = DeviceProfile(
        name="local", transport="local", workdir=str(tmp_path), runtimes=(Runtime.LITERT, Runtime.TFLITE_RUNTIME)
    )
    no_python = check_device(profile.model_copy(update={"python": "/nowhere/python3"}), Runtime.LITERT, 1)
    no_space = check_device(profile.model_copy(update={"min_free_mb": 10**9}), Runtime.LITERT, 1)
    no_runtime = check_device(profile, Runtime.TFLITE_RUNTIME, 1)
    for check, name in ((no_python, "reachable"), (no_space, "space"), (no_runtime, "runtime")):
        assert not check.ok
        [item] = [item for item in check.items if item.name == name]
        assert not item.ok
        assert item.remedy
    with pytest.raises(InputError, match="does not offer"):
        check_device(profile, Runtime.ONNXRUNTIME, 1)
