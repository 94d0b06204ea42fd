"""Every operator, defined once: attributes, shapes, channels, costs and what latency depends on.

An operator is a file here with a class that ``AnyOperator`` lists. What a framework or a file format does with it
stands in that framework's room, in a table keyed by the class: ``training/networks/operators.py`` for torch, and in
``formats`` ``tflite/keras_network.py``, ``tflite/slices.py``, ``onnx/network.py`` and ``onnx/slices.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from edgewidth.graph.operators.conv import Conv, Depthwise
from edgewidth.graph.operators.dense import Dense
from edgewidth.graph.operators.global_average_pool import GlobalAveragePool
from edgewidth.graph.operators.joins import Add, Concatenate

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator

__all__ = [
    "OPERATORS",
    "Add",
    "AnyOperator",
    "Concatenate",
    "Conv",
    "Dense",
    "Depthwise",
    "GlobalAveragePool",
]

AnyOperator = Annotated[
    Conv | Depthwise | Dense | Add | Concatenate | GlobalAveragePool,
    Field(discriminator="op"),
]
OPERATORS: frozenset[type[Operator]] = frozenset(get_args(get_args(AnyOperator)[0]))
"""What every table has an entry for."""
