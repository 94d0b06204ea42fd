"""What a configuration costs by counting: multiply-accumulates, parameters, memory.

A search wants costs as functions of a few width variables each. Multiply-accumulates are a sum of such functions; the
memory for activations is the most of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.spec import INPUT
from edgewidth.graph.widths import lengths, total, variables_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.graph.spec import Layer, NetworkSpec
    from edgewidth.graph.widths import Axes, TensorShape, Widths

    Array = NDArray[np.float64]

MOST_IN_A_PEAK = 4
"""On how many width variables the memory of one layer may depend; more would make the search expensive."""


class LayerCosts(NamedTuple):
    """What one layer costs; parameters include the folded bias."""

    macs: int
    parameters: int


class Costs(NamedTuple):
    """Counted, not measured. Parameters include the folded biases."""

    macs: int
    parameters: int
    peak_activations: int
    """The most elements of activations that live at once, so bytes at int8."""


def layer_costs(layer: Layer, widths: Widths) -> LayerCosts:
    """The costs of one layer at given widths. One weight for each channel scales it: nothing is accumulated."""
    weights = math.prod(lengths(layer.kernel, widths)) if layer.kernel else 0
    biases = total(layer.output.channels, widths) if layer.operator.biased else 0
    return LayerCosts(weights * layer.output.pixels if len(layer.kernel) > 1 else 0, weights + biases)


def live_tensors(network: NetworkSpec) -> tuple[tuple[TensorShape, ...], ...]:
    """The activations that live while each layer runs: its output, and all that it or a later layer reads."""
    last_use = {name: place for place, layer in enumerate(network.layers) for name in layer.inputs}
    shapes = {INPUT: network.input} | {layer.name: layer.output for layer in network.layers}
    made = {INPUT: -1} | {layer.name: place for place, layer in enumerate(network.layers)}
    return tuple(
        tuple(shapes[name] for name in shapes if made[name] <= place <= last_use.get(name, made[name]))
        for place in range(len(network.layers))
    )


def costs(space: SearchSpace, config: ChannelConfig) -> Costs:
    """The costs of a configuration."""
    widths = space.widths(config)
    layers = [layer_costs(layer, widths) for layer in space.network.layers]
    return Costs(
        macs=sum(layer.macs for layer in layers),
        parameters=sum(layer.parameters for layer in layers),
        peak_activations=max(sum(one.elements(widths) for one in live) for live in live_tensors(space.network)),
    )


class CostFactor(NamedTuple):
    """A cost at every choice of the width variables that it depends on: one axis of ``values`` for each in ``scope``.

    Variables are indices into those of the space, ascending.
    """

    scope: tuple[int, ...]
    values: Array


class PeakFactor(NamedTuple):
    """Elements of activations that live at once, as in ``CostFactor``.

    Where they depend on too many width variables, ``exact`` is False, and those that matter least are counted with
    their greatest width: the values are an upper bound.
    """

    scope: tuple[int, ...]
    values: Array
    exact: bool


def mac_factors(space: SearchSpace) -> tuple[CostFactor, ...]:
    """Multiply-accumulates as a sum of functions of at most two width variables."""
    parts = [
        factor
        for layer in space.network.layers
        if len(layer.kernel) > 1
        for factor in element_factors(space, layer.kernel, layer.output.pixels)
    ]
    return summed(parts)


def element_factors(space: SearchSpace, axes: Axes, each: float) -> Iterator[CostFactor]:
    """The elements of an array with these axes, ``each`` of them so much, as a sum over the segments of every axis."""
    for segments in product(*axes):
        scope = _scope(space, variables_of(segments))
        grids = np.meshgrid(*(space.variables[v].choices for v in scope), indexing="ij") if scope else []
        known = {space.variables[v].name: grid.astype(np.float64) for v, grid in zip(scope, grids, strict=True)}
        values = np.full([len(space.variables[v].choices) for v in scope], float(each))
        for segment in segments:
            values *= segment if isinstance(segment, int) else known[segment]
        yield CostFactor(scope, values)


def summed(factors: Iterable[CostFactor]) -> tuple[CostFactor, ...]:
    """The same sum with one factor for each scope."""
    found: dict[tuple[int, ...], Array] = {}
    for scope, values in factors:
        found[scope] = found.get(scope, np.float64(0)) + values
    return tuple(CostFactor(*item) for item in found.items())


def peak_factors(space: SearchSpace) -> tuple[PeakFactor, ...]:
    """The memory for activations, of which the most counts: one factor for each layer that can need the most."""
    sums = [_linear(live) for live in live_tensors(space.network)]
    distinct = [one for place, one in enumerate(sums) if one not in sums[:place]]
    needed = (one for one in distinct if not any(one != other and one.is_within(other) for other in distinct))
    return tuple(one.factor(space) for one in needed)


class _Linear(NamedTuple):
    """A constant, and for each width variable how often its width is added."""

    constant: int
    slopes: Mapping[str, int]

    def is_within(self, other: _Linear) -> bool:
        """Whether it is never more than another."""
        return self.constant <= other.constant and all(
            slope <= other.slopes.get(name, 0) for name, slope in self.slopes.items()
        )

    def factor(self, space: SearchSpace) -> PeakFactor:
        """At every choice of the variables whose widths make the most difference, the others at their greatest."""
        choices = {variable.name: variable.choices for variable in space.variables}
        spread = {name: slope * (choices[name][-1] - choices[name][0]) for name, slope in self.slopes.items()}
        kept = sorted(spread, key=lambda name: -spread[name])[:MOST_IN_A_PEAK]
        others = sum(slope * choices[name][-1] for name, slope in self.slopes.items() if name not in kept)
        scope = _scope(space, tuple(kept))
        grids = np.ix_(*(np.array(space.variables[v].choices, np.float64) for v in scope))
        parts = (self.slopes[space.variables[v].name] * grid for v, grid in zip(scope, grids, strict=True))
        values = np.asarray(sum(parts, np.float64(self.constant + others)))
        return PeakFactor(scope, values, exact=len(kept) == len(spread))


def _linear(tensors: Iterable[TensorShape]) -> _Linear:
    constant, slopes = 0, dict[str, int]()
    for tensor in tensors:
        for segment in tensor.channels:
            if isinstance(segment, int):
                constant += tensor.pixels * segment
            else:
                slopes[segment] = slopes.get(segment, 0) + tensor.pixels
    return _Linear(constant, slopes)


def _scope(space: SearchSpace, names: tuple[str, ...]) -> tuple[int, ...]:
    order = [variable.name for variable in space.variables]
    return tuple(sorted(order.index(name) for name in names))
