"""Branches that could be one convolution, by blocks that are known to be merged or not."""

from __future__ import annotations

import pytest

from edgewidth.graph.branches import summed_branches
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.operators import Add, AnyOperator, BatchNorm, Conv, Dense, GlobalAveragePool
from edgewidth.graph.spec import INPUT, NetworkSpec, Node

STEM = Node(name="stem", operator=Conv(width="w", kernel=(3, 3), activation="relu"), inputs=(INPUT,))


def conv(name: str, source: str = "stem", kernel: int = 3, activation: str = "none") -> Node:
    return Node(
        name=name,
        operator=Conv.model_validate({"width": "w", "kernel": (kernel, kernel), "activation": activation}),
        inputs=(source,),
    )


def node(name: str, operator: AnyOperator, *sources: str) -> Node:
    return Node(name=name, operator=operator, inputs=sources)


def network(*nodes: Node) -> NetworkSpec:
    """A stem, the nodes, and a classifier of the last of them."""
    ends = (
        node("pool", GlobalAveragePool(), nodes[-1].name),
        node("logits", Dense(width=10), "pool"),
    )
    return NetworkSpec(family="own", resolution=8, in_channels=3, nodes=(STEM, *nodes, *ends))


def test_the_three_branches_of_repvgg() -> None:
    """3×3, 1×1 and batch normalisation alone, added up in two steps."""
    block = network(
        conv("square"),
        conv("point", kernel=1),
        node("alone", BatchNorm(), "stem"),
        node("two", Add(), "square", "point"),
        node("three", Add(activation="relu"), "alone", "two"),
    )
    assert summed_branches(block) == ("two", "three")


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param((conv("inside"), node("sum", Add(), "inside", "stem")), id="a plain shortcut"),
        pytest.param(
            (conv("inside", activation="relu"), conv("point", kernel=1), node("sum", Add(), "inside", "point")),
            id="an activation in a branch",
        ),
        pytest.param(
            (conv("first"), conv("second", "first"), conv("point", kernel=1), node("sum", Add(), "second", "point")),
            id="a downsampling shortcut beside two convolutions",
        ),
    ],
)
def test_sums_that_no_one_convolution_computes(nodes: tuple[Node, ...]) -> None:
    """Or that nobody merges, as a shortcut."""
    assert summed_branches(network(*nodes)) == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_has_such_branches(family: str) -> None:
    """Residual networks add up maps of different depths."""
    assert summed_branches(search_space(family).network) == ()
