"""A small TFLite model for tests that run one somewhere."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def small_tflite(inputs: int = 256, outputs: int = 128) -> bytes:
    """One fully connected layer, float32: (1, inputs) → (1, outputs)."""
    rng = np.random.default_rng(0)
    contents = [b"", rng.normal(size=(outputs, inputs)).astype("<f4").tobytes(), bytes(4 * outputs)]
    tensors = [
        _tensor("input", (1, inputs), 0),
        _tensor("kernel", (outputs, inputs), 1),
        _tensor("bias", (outputs,), 2),
        _tensor("output", (1, outputs), 0),
    ]
    operator = schema.OperatorT(
        opcodeIndex=0,
        inputs=[0, 1, 2],
        outputs=[3],
        builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        builtinOptions=schema.FullyConnectedOptionsT(),
    )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=1)],
        subgraphs=[schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[3], operators=[operator])],
        buffers=[schema.BufferT(data=np.frombuffer(content, np.uint8) if content else None) for content in contents],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, shape: tuple[int, ...], buffer: int) -> schema.TensorT:
    return schema.TensorT(name=name, shape=list(shape), type=schema.TensorType.FLOAT32, buffer=buffer)
