"""The trial network as a TFLite file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewidth.formats.folded import CHANNELS, FILTERS, SIZE, trial_kernel
from edgewidth.formats.tflite.file import write_model

_SCHEMA_VERSION = 3


def tflite_trial() -> bytes:
    """The convolution in float32."""
    kernel, bias = trial_kernel(), np.zeros(FILTERS, np.float32)
    conv = schema.BuiltinOperator.CONV_2D
    operator = schema.OperatorT(
        inputs=[0, 1, 2],
        outputs=[3],
        builtinOptionsType=schema.BuiltinOptions.Conv2DOptions,
        builtinOptions=schema.Conv2DOptionsT(padding=schema.Padding.SAME, strideH=1, strideW=1),
    )
    shapes = ([1, SIZE, SIZE, CHANNELS], kernel.shape, bias.shape, [1, SIZE, SIZE, FILTERS])
    graph = schema.SubGraphT(
        tensors=[_tensor(shape, buffer) for buffer, shape in enumerate(shapes, start=1)],
        inputs=[0],
        outputs=[3],
        operators=[operator],
    )
    empty = schema.BufferT()
    constants = [schema.BufferT(np.frombuffer(array.tobytes(), np.uint8)) for array in (kernel, bias)]
    model = schema.ModelT(
        version=_SCHEMA_VERSION,
        operatorCodes=[schema.OperatorCodeT(builtinCode=conv, deprecatedBuiltinCode=conv, version=1)],
        subgraphs=[graph],
        buffers=[empty, empty, *constants, empty],
    )
    return write_model(model)


def _tensor(shape: Sequence[int], buffer: int) -> schema.TensorT:
    return schema.TensorT(
        shape=list(shape), type=schema.TensorType.FLOAT32, buffer=buffer, name=f"tensor{buffer}".encode()
    )
