"""A small TFLite model for tests that run one somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    return _packed(model)


def tflite_chain(kinds: Sequence[str], width: int = 16) -> bytes:
    """Operators one behind the other, float32, each (1, width) → (1, width): ``FULLY_CONNECTED`` or a unary kind."""
    rng = np.random.default_rng(0)
    contents, tensors, codes = [b""], [_tensor("input", (1, width), 0)], list(dict.fromkeys(kinds))
    operators = []
    for place, kind in enumerate(kinds):
        inputs = [len(tensors) - 1]
        if kind == "FULLY_CONNECTED":
            values = rng.normal(size=(width, width)).astype("<f4") / np.sqrt(width, dtype="f4")
            contents.append(values.tobytes())
            tensors.append(_tensor(f"kernel{place}", (width, width), len(contents) - 1))
            inputs += [len(tensors) - 1, -1]
        tensors.append(_tensor(f"tensor{place}", (1, width), 0))
        options = {"FULLY_CONNECTED": "FullyConnected", "L2_NORMALIZATION": "L2Norm", "NEG": "Neg"}[kind]
        operators.append(
            schema.OperatorT(
                opcodeIndex=codes.index(kind),
                inputs=inputs,
                outputs=[len(tensors) - 1],
                builtinOptionsType=getattr(schema.BuiltinOptions, f"{options}Options"),
                builtinOptions=getattr(schema, f"{options}OptionsT")(),
            )
        )
    numbers = [getattr(schema.BuiltinOperator, kind) for kind in codes]
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[len(tensors) - 1], operators=operators)
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=one, builtinCode=one, version=1) for one in numbers],
        subgraphs=[graph],
        buffers=[schema.BufferT(data=np.frombuffer(content, np.uint8) if content else None) for content in contents],
    )
    return _packed(model)


def with_second_graph(content: bytes, *, signed: bool) -> bytes:
    """The model with a graph ``other`` beside ``first``: it casts int64 (1, 7) to float32, with signatures or without.

    That of the second graph stands first.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    source, target = (_tensor(name, (1, 7), 0) for name in ("ids", "numbers"))
    source.type = schema.TensorType.INT64
    cast = schema.OperatorT(opcodeIndex=len(model.operatorCodes), inputs=[0], outputs=[1])
    code = schema.BuiltinOperator.CAST
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=1))
    other = schema.SubGraphT(tensors=[source, target], inputs=[0], outputs=[1], operators=[cast])
    model.subgraphs.append(other)
    for graph, name in zip(model.subgraphs, ("first", "other"), strict=True):
        graph.name = name
    if signed:
        model.signatureDefs = [_signature("other", 1, 0, 1), _signature("first", 0, 0, 3)]
    return _packed(model)


def _signature(name: str, graph: int, source: int, target: int) -> schema.SignatureDefT:
    return schema.SignatureDefT(
        signatureKey=name,
        subgraphIndex=graph,
        inputs=[schema.TensorMapT(name="x", tensorIndex=source)],
        outputs=[schema.TensorMapT(name="y", tensorIndex=target)],
    )


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(name: str, shape: tuple[int, ...], buffer: int) -> schema.TensorT:
    return schema.TensorT(name=name, shape=list(shape), type=schema.TensorType.FLOAT32, buffer=buffer)
