"""Small ONNX models for tests that measure something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.devices.measure.session import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def small_onnx(widths: tuple[int, ...], size: int = 32) -> bytes:
    """A chain of 3×3 convolutions of these widths and a classifier, float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, name, channels = [], [], "input", 3
    for i, width in enumerate(widths):
        kernel = rng.normal(0, 0.1, (width, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"k{i}"))
        nodes.append(helper.make_node("Conv", [name, f"k{i}"], [f"c{i}"], pads=[1, 1, 1, 1], strides=[2, 2]))
        name, channels = f"c{i}", width
    nodes += [helper.make_node("GlobalAveragePool", [name], ["pool"]), helper.make_node("Flatten", ["pool"], ["flat"])]
    weights.append(numpy_helper.from_array(rng.normal(0, 0.1, (channels, 10)).astype(np.float32), "w"))
    nodes.append(helper.make_node("Gemm", ["flat", "w"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_chain(kinds: Sequence[str]) -> bytes:
    """A chain of ``Conv`` (8 channels each), ``Relu`` and ``LRN``, which WebGPU does not know."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights = list[onnx.NodeProto](), list[onnx.TensorProto]()
    for place, kind in enumerate(kinds):
        more: dict[str, Any] = {"Conv": dict[str, Any](pads=[1] * 4), "LRN": dict[str, Any](size=3)}.get(kind, {})
        inputs = [f"t{place}"]
        if kind == "Conv":
            weights.append(numpy_helper.from_array(rng.normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32), f"w{place}"))
            inputs.append(f"w{place}")
        nodes.append(helper.make_node(kind, inputs, [f"t{place + 1}"], name=f"n{place}", **more))
    shape = [1, 8, 16, 16]
    ends = [helper.make_tensor_value_info(f"t{place}", TensorProto.FLOAT, shape) for place in (0, len(kinds))]
    graph = helper.make_graph(nodes, "split", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def onnx_sums(channels: int) -> bytes:
    """A 1×1 convolution in uint8 and int8 with weights of 1 and -1, for inputs from 0 to 1: sums, at most ``channels``.

    Its int8 weights are 127 and -127, and 1 is 255: where two products are added in 16 bits, they saturate.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.full((2, channels, 1, 1), 127, np.int8)
    kernel[1] *= -1
    constants: dict[str, NDArray[Any]] = {
        "step": np.array(1 / 255, np.float32),
        "zero": np.array(0, np.uint8),
        "kernel": kernel,
        "steps": np.full(2, 1 / 127, np.float32),
        "zeros": np.zeros(2, np.int8),
        "sum_step": np.array(channels / 127, np.float32),
        "middle": np.array(128, np.uint8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["kernel", "steps", "zeros"], ["k"], axis=0),
        helper.make_node("Conv", ["x", "k"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "sum_step", "middle"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "sum_step", "middle"], ["sums"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, 4, 4])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_model(*widths: int) -> Model:
    """A model whose key says its widths."""
    return Model("-".join(map(str, widths)), lambda: small_onnx(widths))
