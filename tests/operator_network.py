"""A network with every operator: one branch for each case, with attributes drawn at random.

All branches read the same two maps, one of which has negative numbers, and end in a dense layer over all that they
computed, place by place. Their outputs lie side by side in the network's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.graph.operators import (
    Activate,
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Concatenate,
    Conv,
    Dense,
    Depthwise,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Multiply,
    PRelu,
    Slice,
    Unflatten,
    Upsample,
    ZeroPad,
)
from edgewidth.graph.operators.activation import UNBOUNDED, Clamp, Elu, LeakyRelu
from edgewidth.graph.operators.operator import Operator
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTPUTS = 4
"""Of every branch."""
SIZE = (11, 14)
"""Of the images."""
SIGNED, POSITIVE = "signed", "positive"
"""The maps that branches read; the first has ``a`` channels, the second ``b`` and then ``a``."""

ACTIVATIONS: tuple[Any, ...] = (
    *("none", "relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "hard_sigmoid", "hard_swish"),
    *(LeakyRelu(slope=0.2), Elu(), Elu(alpha=0.6)),
    *(Clamp(least=-0.4, greatest=0.9), Clamp(least=-1, greatest=1), Clamp(least=0, greatest=0.7)),
    *(Clamp(least=-UNBOUNDED, greatest=0.8), Clamp(least=-0.3, greatest=UNBOUNDED)),
    *(Clamp(least=-1e5, greatest=1e5), Clamp(least=-1e5, greatest=-0.1)),
)

Branch = list[tuple[Operator, tuple[str, ...]]]
"""Operators with what they read: a map by its name, or by a number an earlier operator of the branch."""


def operator_space(seed: int) -> SearchSpace:
    """The network with three width variables."""
    rng = np.random.default_rng(seed)
    nodes = [
        Node(name=SIGNED, operator=Conv(width="a", kernel=3), inputs=(INPUT,)),
        Node(name=POSITIVE, operator=Conv(width=("b", "a"), activation="relu"), inputs=(SIGNED,)),
    ]
    ends = []
    for number, branch in enumerate([*_window_branches(rng), *_other_branches(rng)]):
        names = [f"case{number}_{place}" for place in range(len(branch) + 1)]
        for name, (operator, reads) in zip(names, branch, strict=False):
            inputs = tuple(names[int(read)] if read.isdigit() else read for read in reads)
            nodes.append(Node(name=name, operator=operator, inputs=inputs))
        nodes.append(Node(name=names[-1], operator=Dense(width=OUTPUTS), inputs=(names[-2],)))
        ends.append(names[-1])
    nodes.append(Node(name="logits", operator=Concatenate(), inputs=tuple(ends)))
    network = NetworkSpec(family="operators", resolution=SIZE, in_channels=2, nodes=tuple(nodes))
    variables = tuple(WidthVariable(name=name, base=8, choices=(2, 3, 5, 8)) for name in network.variables)
    return SearchSpace(network=network, variables=variables)


def _window_branches(rng: np.random.Generator) -> Iterator[Branch]:
    """Convolutions and pooling, each of which has a window that moves."""
    for affine in ("batch_norm", "bias", "none"):
        for _ in range(1 if affine == "batch_norm" else 2):
            activation = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
            shared = {"affine": affine, "activation": activation}
            yield [(Conv(width="c", **_window(rng), **shared), (POSITIVE,))]
            yield [(Depthwise(**_window(rng), **shared), (POSITIVE,))]
            yield [
                (Conv(width=12), (SIGNED,)),
                (Conv(width=18, groups=int(rng.choice([2, 3, 6])), **_window(rng), **shared), ("0",)),
            ]
            yield [(Conv(width=6), (SIGNED,)), (Depthwise(multiplier=2, **_window(rng), **shared), ("0",))]
    for ceil_mode in (False, True):
        for source in (SIGNED, POSITIVE):
            yield [(MaxPool(**_pool(rng), ceil_mode=ceil_mode), (source,))]
        for counted in (False, True):
            yield [(AveragePool(**_pool(rng), ceil_mode=ceil_mode, count_include_pad=counted), (SIGNED,))]
    for operator in (MaxPool, AveragePool):
        yield [(operator(kernel=3, stride=2, padding="same"), (SIGNED,))]


def _window(rng: np.random.Generator) -> dict[str, Any]:
    """Either a stride or a dilation, and either SAME padding or other numbers on each side."""
    drawn: dict[str, Any] = {"kernel": tuple(map(int, rng.integers(1, 5, 2)))}
    drawn[str(rng.choice(["stride", "dilation"]))] = int(rng.integers(1, 4))
    if rng.random() < 0.7:
        drawn["padding"] = tuple(tuple(map(int, rng.integers(0, 3, 2))) for _ in range(2))
    return drawn


def _pool(rng: np.random.Generator) -> dict[str, Any]:
    kernel = rng.integers(2, 5, 2)
    return {
        "kernel": tuple(map(int, kernel)),
        "stride": tuple(map(int, rng.integers(1, 4, 2))),
        "padding": tuple(map(int, rng.integers(0, kernel // 2 + 1))),
    }


def _other_branches(rng: np.random.Generator) -> Iterator[Branch]:
    for activation in ACTIVATIONS:
        # Both are read again: an activation must leave a tensor alone that others read.
        yield [(Activate(activation=activation), (SIGNED,)), (Add(), ("0", SIGNED))]
        yield [(Conv(width="c", activation=activation), (POSITIVE,))]
    yield [(BatchNorm(activation="relu"), (SIGNED,))]
    yield [(PRelu(activation="hard_swish"), (SIGNED,))]
    yield [
        (GlobalAveragePool(), (POSITIVE,)),
        (BatchNorm(), ("0",)),
        (PRelu(), ("1",)),
        (Dense(width="c", activation="relu"), ("2",)),
    ]
    yield [
        (GlobalAveragePool(keepdims=True), (POSITIVE,)),
        (Conv(width="c", affine="bias", activation="relu"), ("0",)),
        (Conv(width=("b", "a"), affine="bias", activation="hard_sigmoid"), ("1",)),
        (Multiply(), (POSITIVE, "2")),
        (Flatten(), ("2",)),
        (Multiply(activation="relu6"), ("3", "4")),
        (Unflatten(), ("4",)),
        (Multiply(), ("5", "6")),
        (Multiply(), ("7", POSITIVE)),
    ]
    yield [(GlobalMaxPool(), (POSITIVE,)), (Dense(width="a", affine="batch_norm", activation="silu"), ("0",))]
    # What a dense layer reads here has a bias, and nothing follows that.
    yield [(GlobalMaxPool(), (POSITIVE,)), (Dense(width="c"), ("0",))]
    yield [(GlobalAveragePool(), (POSITIVE,)), (BatchNorm(), ("0",))]
    yield [
        (GlobalAveragePool(keepdims=True), (SIGNED,)),
        (Conv(width="c", affine="bias"), ("0",)),
        (Flatten(), ("1",)),
    ]
    yield [(GlobalMaxPool(keepdims=True), (SIGNED,)), (Multiply(), (SIGNED, "0"))]
    yield [
        (Concatenate(), (POSITIVE, SIGNED, POSITIVE)),
        (Slice(start=1, stop=3), ("0",)),
        (Slice(start=3, stop=5), ("0",)),
        (Concatenate(), ("1", "2")),
    ]
    yield [
        (Conv(width=(4, 8)), (SIGNED,)),
        (ChannelShuffle(groups=int(rng.choice([2, 3, 4, 6]))), ("0",)),
        (Slice(start=0, stop=1), ("1",)),
        (Slice(start=1, stop=2), ("1",)),
        (Concatenate(), ("3", "2")),
    ]
    yield [(ZeroPad(padding=((2, 0), (1, 3))), (SIGNED,))]
    for _ in range(2):
        size = tuple(map(int, rng.integers(12, 20, 2)))
        yield [(Upsample(size=size), (SIGNED,))]
        yield [(Upsample(size=size, mode="bilinear"), (SIGNED,))]
        yield [(Upsample(size=size, mode="bilinear", align_corners=True), (SIGNED,))]
