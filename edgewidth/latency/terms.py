"""The terms of a latency table, with what is known of their work at every choice of their widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgewidth.graph.widths import total, variables_of

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Part
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import Layer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Term(NamedTuple):
    """One summand of the latency. An entry is one choice of its widths; entries are numbered row by row.

    A layer is one term for every segment that it reads: work is a sum over these, and so no term depends on more
    than two widths. What a layer costs once, however much it reads, belongs to its first term.
    """

    name: str
    """The layer's, for its first term; ``layer:2``, ``layer:3`` … for the others."""
    is_first: bool
    """Whether it is its layer's first."""
    kind: str
    """What layers of the same operation and kernel share, such as ``conv1x1``."""
    shape: str
    """What terms of equal shape share: the kind with spatial sizes."""
    mixes: bool
    """Whether every channel that leaves is computed from all that enter."""
    taps: int
    """Kernel elements per channel; of a dense layer that reads a map as many as that has pixels."""
    in_pixels: int
    pixels: int
    """Spatial elements of the output."""
    scope: tuple[int, ...]
    """The width variables that it depends on, at most two, by index."""
    rows: int
    columns: int
    in_widths: Floats
    """(rows * columns,) channels that enter, for every entry."""
    out_widths: Floats
    """(rows * columns,) channels that leave, for every entry."""

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.rows * self.columns

    def entries(self, indices: Ints) -> Ints:
        """Which entry each configuration uses. ``indices``: (configurations, variables) → (configurations,)."""
        if not self.scope:
            return np.zeros(len(indices), dtype=np.int64)
        if len(self.scope) == 1:
            return indices[:, self.scope[0]]
        return indices[:, self.scope[0]] * self.columns + indices[:, self.scope[1]]


def terms_of(space: SearchSpace) -> tuple[Term, ...]:
    """The terms of a search space, in the network's order."""
    return tuple(
        _term(space, layer, place, part)
        for layer in space.network.layers
        for place, part in enumerate(layer.operator.parts(layer.reads, layer.output))
    )


def choice_indices(space: SearchSpace, configs: Sequence[ChannelConfig]) -> Ints:
    """Which choice every width is: (configurations, variables).

    Raises:
        InputError: A configuration is not one of the space.
    """
    rows = [space.indices(config) for config in configs]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(space.variables))


def _term(space: SearchSpace, layer: Layer, place: int, part: Part) -> Term:
    names = [variable.name for variable in space.variables]
    scope = tuple(names.index(name) for name in variables_of((part.source, part.target)))
    ins, outs = _widths(space, part)
    kind = layer.operator.kind
    sizes = ["x".join(map(str, tensor.size)) for tensor in (layer.reads[0], layer.output)]
    return Term(
        name=f"{layer.name}:{place + 1}" if place else layer.name,
        is_first=place == 0,
        kind=kind,
        shape="/".join([kind, *sizes]),
        mixes=layer.operator.mixes,
        taps=_taps(layer),
        in_pixels=part.in_pixels,
        pixels=layer.output.pixels,
        scope=scope,
        rows=ins.shape[0],
        columns=ins.shape[1],
        in_widths=ins.ravel().astype(float),
        out_widths=outs.ravel().astype(float),
    )


def _taps(layer: Layer) -> int:
    """What follows the channels in the kernel's shape, which may be a matter of the input; a window has no kernel."""
    return math.prod(total(axis, {}) for axis in layer.kernel[2:]) if layer.kernel else layer.operator.taps


def _widths(space: SearchSpace, part: Part) -> tuple[Ints, Ints]:
    """Channels in and out for every entry, both (rows, columns): as ``TableEntry.values_ms`` is laid out."""
    ins, outs = np.array(space.choices_of(part.source)), np.array(space.choices_of(part.target))
    if part.source == part.target:
        return ins[None, :], outs[None, :]
    grid = np.meshgrid(ins, outs, indexing="ij")
    if isinstance(part.source, str) and not isinstance(part.target, str):
        return grid[0].T, grid[1].T  # one variable lies along a row
    return grid[0], grid[1]
