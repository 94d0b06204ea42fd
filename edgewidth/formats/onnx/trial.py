"""The probe network as an ONNX file."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewidth.formats.probe import CHANNELS, FILTERS, SIZE, probe_kernel


def onnx_probe() -> bytes:
    """The convolution in float32, for a runtime as old as of 2021."""
    image = [SIZE, SIZE]
    kernel = np.ascontiguousarray(probe_kernel().transpose(0, 3, 1, 2))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])],
        "probe",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, CHANNELS, *image])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, FILTERS, *image])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return bytes(model.SerializeToString())
