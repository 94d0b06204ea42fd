"""Small ONNX models for tests that measure something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.devices.measure.session import Model

if TYPE_CHECKING:
    from collections.abc import Sequence


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


def onnx_model(*widths: int) -> Model:
    """A model whose key says its widths."""
    return Model("-".join(map(str, widths)), lambda: small_onnx(widths))
