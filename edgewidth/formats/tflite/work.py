"""What the operators of a .tflite file cost."""

from __future__ import annotations

import math
import struct
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgewidth.records.measurement import OperatorWork

_KIND = schema.BuiltinOperator
_NAMES = {value: name for name, value in vars(_KIND).items() if isinstance(value, int)}


def tflite_work(content: bytes) -> tuple[OperatorWork, ...]:
    """See ``Format.work``: of the first graph, the one that a runtime enters by itself."""
    try:
        model = schema.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        numbers = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes]
        operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        return tuple(
            OperatorWork(_NAMES.get(number, str(number)), _macs(graph, number, operator))
            for operator, number in ((one, numbers[one.OpcodeIndex()]) for one in operators)
        )
    except (struct.error, LookupError, ValueError, TypeError, OverflowError, AttributeError, MemoryError):
        return ()


def _macs(graph: Any, number: int, operator: Any) -> int:
    """The multiply-accumulates of one operator, from the shapes of what it reads and writes."""
    shapes = [_shape(graph, operator.Inputs(i)) for i in range(operator.InputsLength())]
    made = math.prod(_shape(graph, operator.Outputs(0)))
    if number == _KIND.CONV_2D:  # weights (out, height, width, in of its group)
        return made * math.prod(shapes[1][1:])
    if number == _KIND.DEPTHWISE_CONV_2D:  # weights (1, height, width, out)
        return made * math.prod(shapes[1][1:3])
    if number == _KIND.FULLY_CONNECTED:  # weights (out, in)
        return made * shapes[1][1]
    if number == _KIND.TRANSPOSE_CONV:  # the output's shape, weights (out, height, width, in), the input
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if number == _KIND.BATCH_MATMUL:
        return made * shapes[0][-1]
    return 0


def _shape(graph: Any, tensor: int) -> list[int]:
    if tensor < 0:
        return []
    found = graph.Tensors(tensor)
    return [max(1, int(found.Shape(i))) for i in range(found.ShapeLength())]
