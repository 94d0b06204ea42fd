"""The trial network as an ONNX file."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewidth.formats.folded import CHANNELS, FILTERS, SIZE, trial_kernel


def onnx_trial() -> bytes:
    """The convolution in float32, in an operator set that runtimes have read since 2021."""
    image = [SIZE, SIZE]
    kernel = np.ascontiguousarray(trial_kernel().transpose(0, 3, 1, 2))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[1, 1, 1, 1])],
        "trial",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, CHANNELS, *image])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, FILTERS, *image])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return bytes(model.SerializeToString())
