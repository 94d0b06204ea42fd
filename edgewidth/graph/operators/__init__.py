"""Every operator, defined once: attributes, shapes, channels, costs and what latency depends on.

An operator is a class here that ``AnyOperator`` lists. What a framework or a file format does with it
stands in that framework's room, in a table keyed by the class: ``training/networks/operators.py`` for torch, and in
``formats`` ``tflite/keras_network.py`` and ``onnx/nodes.py``. Where TFLite's converter makes an operator of its own out
of it, ``tflite/rules.py`` says what that does with channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from edgewidth.graph.operators.activate import Activate
from edgewidth.graph.operators.batch_norm import BatchNorm
from edgewidth.graph.operators.channels import ChannelShuffle, Slice
from edgewidth.graph.operators.conv import Conv, Depthwise
from edgewidth.graph.operators.dense import Dense
from edgewidth.graph.operators.joins import Add, Concatenate, Multiply
from edgewidth.graph.operators.pool import AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool
from edgewidth.graph.operators.prelu import PRelu
from edgewidth.graph.operators.shape import Flatten, Unflatten, Upsample, ZeroPad

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator

__all__ = [
    "OPERATORS",
    "Activate",
    "Add",
    "AnyOperator",
    "AveragePool",
    "BatchNorm",
    "ChannelShuffle",
    "Concatenate",
    "Conv",
    "Dense",
    "Depthwise",
    "Flatten",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "Multiply",
    "PRelu",
    "Slice",
    "Unflatten",
    "Upsample",
    "ZeroPad",
]

AnyOperator = Annotated[
    Conv
    | Depthwise
    | Dense
    | BatchNorm
    | PRelu
    | Activate
    | Add
    | Multiply
    | Concatenate
    | Slice
    | ChannelShuffle
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | GlobalMaxPool
    | Flatten
    | Unflatten
    | ZeroPad
    | Upsample,
    Field(discriminator="op"),
]
OPERATORS: frozenset[type[Operator]] = frozenset(get_args(get_args(AnyOperator)[0]))
"""What every table has an entry for."""
