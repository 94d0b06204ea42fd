"""Parallel branches that a network could be merged of before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewidth.graph.operators import Add, BatchNorm, Conv, Depthwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgewidth.graph.spec import Layer, NetworkSpec


def summed_branches(network: NetworkSpec) -> tuple[str, ...]:
    """The layers that add up what convolutions or batch normalisation, one each, make of the same map.

    One convolution computes the same. RepVGG (arXiv 2101.03697) and MobileOne (arXiv 2206.04040) are trained with such
    branches and used without them.
    """
    layers = {layer.name: layer for layer in network.layers}
    return tuple(layer.name for layer in network.layers if _shares_a_map(layer, layers))


def _shares_a_map(layer: Layer, layers: dict[str, Layer]) -> bool:
    if not isinstance(layer.operator, Add):
        return False
    first, second = (set(_read_by_branches(name, layers)) for name in layer.inputs)
    return bool(first & second)


def _read_by_branches(name: str, layers: dict[str, Layer]) -> Iterator[str]:
    """What the branches read whose sum a layer gives; nothing if it gives anything else."""
    layer = layers.get(name)
    if layer is None or layer.operator.activation != "none":
        return
    if isinstance(layer.operator, Add):
        for source in layer.inputs:
            yield from _read_by_branches(source, layers)
    elif isinstance(layer.operator, Conv | Depthwise | BatchNorm):
        yield layer.inputs[0]
