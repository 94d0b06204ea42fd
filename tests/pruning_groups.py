"""Which layers have the same channels, as Torch-Pruning finds it: another way, and an independent answer."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch_pruning
from torch import Tensor, nn
from torch_pruning.dependency import index_mapping

from edgewidth.graph.operators import Conv, Dense
from edgewidth.graph.operators.operator import channels_of

if TYPE_CHECKING:
    from edgewidth.capture.capture import Captured

Place = tuple[str, int]
"""A layer, and the first of its output channels that are meant."""


def own_groups(captured: Captured) -> dict[str, set[Place]]:
    """For every width variable the layers that make its channels."""
    bases = dict(zip(captured.network.variables, captured.base_widths, strict=True))
    groups: dict[str, set[Place]] = {}
    for layer in captured.network.layers:
        if isinstance(layer.operator, Conv | Dense):
            start = 0
            for segment in channels_of(layer.operator.width):
                if isinstance(segment, str):
                    groups.setdefault(segment, set()).add((layer.name, start))
                start += segment if isinstance(segment, int) else bases[segment]
    return groups


def pruning_groups(module: nn.Module, captured: Captured, images: Tensor) -> dict[str, set[Place]]:
    """The same by Torch-Pruning, asked for the first channel of one layer of each group."""
    modules = {re.sub(r"[^a-z0-9]+", "_", path.lower()): layer for path, layer in module.named_modules()}
    names = {layer: name for name, layer in modules.items()}
    found = {}
    with mock.patch.object(index_mapping, "update_reshape_index_mapping", _tolerant):
        for parameter in module.parameters():
            parameter.requires_grad_(True)  # it follows gradients
        graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=images[:1])
        for variable, places in own_groups(captured).items():
            name, start = min(places)
            is_conv = isinstance(modules[name], nn.Conv2d)
            prune = torch_pruning.prune_conv_out_channels if is_conv else torch_pruning.prune_linear_out_channels
            found[variable] = {
                (names[item.dep.target.module], index)
                for item in graph.get_pruning_group(modules[name], prune, idxs=[start])
                if graph.is_out_channel_pruning_fn(item.dep.handler) and _mixes(item.dep.target.module)
                for index in item.idxs
            }
    return found


def by_layers(groups: dict[str, set[Place]]) -> set[frozenset[str]]:
    """Layers that have channels in common, or have some in common with a layer that does."""
    found: list[set[str]] = []
    for places in groups.values():
        layers = {name for name, _ in places}
        for other in [other for other in found if other & layers]:
            found.remove(other)
            layers |= other
        found.append(layers)
    return set(map(frozenset, found))


def _tolerant(graph: Any, node: Any, update: Any = index_mapping.update_reshape_index_mapping) -> None:
    """Torch-Pruning divides by zero in shuffles; their channels are fixed, so nothing is lost by going on."""
    with contextlib.suppress(ZeroDivisionError):
        update(graph, node)


def _mixes(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
