"""Batch normalisation put back into a network that others have folded it out of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.operators import Conv, Depthwise
from edgewidth.graph.spec import NetworkSpec

if TYPE_CHECKING:
    from edgewidth.graph.spec import Node


def with_batch_norm(network: NetworkSpec) -> NetworkSpec:
    """The network with batch normalisation where its convolutions have a bias, if it has none at all.

    A supernet needs it: the statistics of every configuration are others. A network that has some is returned as it
    is: convolutions with a bias, as in squeeze-and-excite, are meant to have none there.
    """
    if any(layer.operator.normalised for layer in network.layers):
        return network
    fields = {name: getattr(network, name) for name in NetworkSpec.model_fields}
    return NetworkSpec(**fields | {"nodes": tuple(map(_normalised, network.nodes))})


def _normalised(node: Node) -> Node:
    operator = node.operator
    if not isinstance(operator, Conv | Depthwise) or not operator.biased:
        return node
    return node.model_copy(update={"operator": operator.model_copy(update={"affine": "batch_norm"})})
