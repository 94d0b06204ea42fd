"""The terms of a latency table: one per layer, with what is known of its work at every choice of its widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import LayerShape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Term(NamedTuple):
    """One layer's place in the sum. An entry is one choice of its widths; entries are numbered row by row."""

    layer: str
    kind: str
    """What layers of the same operation and kernel share, such as ``conv1x1``."""
    shape: str
    """What layers of equal shape share: the kind with stride and spatial sizes."""
    op: str
    taps: int
    """Kernel elements per channel."""
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
    """The terms of a search space, one per layer in the network's order."""
    return tuple(_term(space, shape) for shape in space.network.shapes)


def choice_indices(space: SearchSpace, configs: Sequence[ChannelConfig]) -> Ints:
    """Which choice every width is: (configurations, variables).

    Raises:
        InputError: A configuration is not one of the space.
    """
    rows = [space.indices(config) for config in configs]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(space.variables))


def _term(space: SearchSpace, shape: LayerShape) -> Term:
    names = [variable.name for variable in space.variables]
    layer = shape.layer
    scope = tuple(dict.fromkeys(names.index(w) for w in (shape.in_width, shape.out_width) if isinstance(w, str)))
    ins, outs = _widths(space, shape, len(scope))
    kind = f"{layer.op}{layer.kernel}x{layer.kernel}" if layer.op in {"conv", "depthwise"} else layer.op
    return Term(
        layer=layer.name,
        kind=kind,
        shape=f"{kind}/{layer.stride}/{shape.in_size}/{shape.out_size}",
        op=layer.op,
        taps=layer.kernel**2 if layer.op in {"conv", "depthwise"} else 1,
        in_pixels=len(layer.inputs) * shape.in_size**2,
        pixels=shape.out_size**2,
        scope=scope,
        rows=ins.shape[0],
        columns=ins.shape[1],
        in_widths=ins.ravel().astype(float),
        out_widths=outs.ravel().astype(float),
    )


def _widths(space: SearchSpace, shape: LayerShape, variables: int) -> tuple[Ints, Ints]:
    """Channels in and out for every entry, both (rows, columns): as ``TableEntry.values_ms`` is laid out."""
    ins, outs = np.array(space.choices_of(shape.in_width)), np.array(space.choices_of(shape.out_width))
    if shape.in_width == shape.out_width:
        return ins[None, :], outs[None, :]
    if variables == 2:
        grid = np.meshgrid(ins, outs, indexing="ij")
        return grid[0], grid[1]
    if isinstance(shape.out_width, str):
        return np.full((1, len(outs)), ins[0]), outs[None, :]
    return ins[None, :], np.full((1, len(ins)), outs[0])
