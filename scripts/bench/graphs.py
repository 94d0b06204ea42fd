"""Networks whose width variables meet in graphs of every kind, for the benchmark of the search.

chain      MobileNet-v1: tree-width 1
residual   bottleneck blocks of four groups; the blocks of a group share the width they add up to: tree-width 2
inception  modules of four branches, each reading the concatenation of the module before: a tree-width of 7
dense      every layer of a block reads the concatenation of all before it, as in DenseNet-121: a tree-width of 25
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import Add, Concatenate, Conv, Dense, GlobalAveragePool
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import NetworkSpec, Node

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = 14
"""Choices of every width, where the base is wide enough for so many."""
RESIDUAL_BLOCKS = (5, 6, 6, 5)
INCEPTION_MODULES = 9
DENSE_LAYERS = (6, 12, 24, 16)
GROWTH = 32


class _Builder:
    """Nodes in order, and how wide each width variable is at multiplier 1.0."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.bases: dict[str, int] = {}

    def conv(self, name: str, source: str, base: int, *, width: str = "", kernel: int = 1, stride: int = 1) -> str:
        """A convolution with a width variable of its own, or ``width``; returns its name."""
        self.bases.setdefault(width or name, base)
        operator = Conv(width=width or name, kernel=kernel, stride=stride)
        self.nodes.append(Node(name=name, operator=operator, inputs=(source,)))
        return name

    def join(self, operator: Add | Concatenate, name: str, *sources: str) -> str:
        """What adds or concatenates; returns its name."""
        self.nodes.append(Node(name=name, operator=operator, inputs=sources))
        return name

    def space(self, family: str, last: str) -> SearchSpace:
        """The search space, ending in a classifier."""
        self.nodes.append(Node(name="pool", operator=GlobalAveragePool(), inputs=(last,)))
        self.nodes.append(Node(name="logits", operator=Dense(width=1000), inputs=("pool",)))
        network = NetworkSpec(family=family, resolution=224, in_channels=3, nodes=tuple(self.nodes))
        multipliers = np.linspace(0.2, 1.5, LEVELS)
        variables = tuple(
            WidthVariable(name=name, base=base, choices=tuple(sorted({round(base * m) for m in multipliers})))
            for name, base in ((name, self.bases[name]) for name in network.variables)
        )
        return SearchSpace(network=network, variables=variables)


def residual_space() -> SearchSpace:
    """Bottleneck blocks with two inner widths each: 50 variables."""
    build = _Builder()
    last = build.conv("stem", "input", 32, kernel=3, stride=2)
    for group, blocks in enumerate(RESIDUAL_BLOCKS):
        base = 32 * 2**group
        for block in range(blocks):
            name, before = f"g{group}b{block}", last
            last = build.conv(f"{name}a", last, base)
            last = build.conv(f"{name}b", last, base, kernel=3, stride=1 if block else 2)
            last = build.conv(f"{name}c", last, 2 * base, width=f"group{group}")
            if block:
                last = build.join(Add(), f"{name}add", last, before)
    return build.space("residual", build.conv("head", last, 512))


def inception_space() -> SearchSpace:
    """Branches of one, two and three convolutions, and a projection; every first one reads all four before it."""
    build = _Builder()
    last = build.conv("stem", "input", 32, kernel=3, stride=2)
    for module in range(INCEPTION_MODULES):
        base, stride = 32 * (1 + module // 2), 2 if module % 3 == 0 else 1
        branches = []
        for branch, depth in enumerate((1, 2, 3, 1)):
            end = last
            for step in range(depth):
                name = f"m{module}b{branch}c{step}"
                end = build.conv(name, end, base, kernel=3 if step else 1, stride=1 if step else stride)
            branches.append(end)
        last = build.join(Concatenate(), f"m{module}", *branches)
    return build.space("inception", last)


def dense_space() -> SearchSpace:
    """Two convolutions per layer, and a transition between blocks: 120 variables."""
    build = _Builder()
    last = build.conv("stem", "input", 64, kernel=3, stride=4)
    for block, layers in enumerate(DENSE_LAYERS):
        for layer in range(layers):
            name = f"d{block}l{layer}"
            squeezed = build.conv(f"{name}a", last, 4 * GROWTH)
            grown = build.conv(f"{name}b", squeezed, GROWTH, kernel=3)
            last = build.join(Concatenate(), name, last, grown)
        if block + 1 < len(DENSE_LAYERS):
            last = build.conv(f"t{block}", last, 4 * GROWTH * 2**block, stride=2)
    return build.space("dense", last)


GRAPHS: dict[str, Callable[[], SearchSpace]] = {
    "chain": lambda: search_space("mobilenet_v1"),
    "residual": residual_space,
    "inception": inception_space,
    "dense": dense_space,
}
