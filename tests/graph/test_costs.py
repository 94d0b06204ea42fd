"""Costs of any graph, against counting them another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operator_network import operator_space

from edgewidth.graph import costs as module
from edgewidth.graph.costs import costs, live_tensors, mac_factors, peak_factors
from edgewidth.graph.operators import Concatenate, Conv, Dense, GlobalAveragePool
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.search.factors import Factor, total

SPACE = operator_space(0)


def dense_block(layers: int) -> SearchSpace:
    """Every layer reads all before it, as in densenet."""
    nodes, made = [], [INPUT]
    for number in range(layers):
        source = made[-1]
        if number:
            source = f"joined{number}"
            nodes.append(Node(name=source, operator=Concatenate(), inputs=tuple(made)))
        nodes.append(Node(name=f"conv{number}", operator=Conv(width=f"w{number}", kernel=3), inputs=(source,)))
        made.append(f"conv{number}")
    nodes.append(Node(name="pool", operator=GlobalAveragePool(), inputs=(made[-1],)))
    nodes.append(Node(name="logits", operator=Dense(width=3), inputs=("pool",)))
    network = NetworkSpec(family="dense", resolution=(4, 6), in_channels=2, nodes=tuple(nodes))
    variables = tuple(WidthVariable(name=name, base=4, choices=(2, 4, 7)) for name in network.variables)
    return SearchSpace(network=network, variables=variables)


def simulated_peak(space: SearchSpace, widths: dict[str, int]) -> int:
    """The most elements while layers run one after the other, each freed when nobody waits for it any more."""
    network = space.network
    waiting = [name for layer in network.layers for name in layer.inputs]
    here, most = {INPUT: network.input.elements(widths)}, 0
    for layer in network.layers:
        here[layer.name] = layer.output.elements(widths)
        most = max(most, sum(here.values()))
        for name in layer.inputs:
            waiting.remove(name)
        here = {name: size for name, size in here.items() if name in waiting}
    return most


@pytest.mark.parametrize("space", [SPACE, dense_block(6)], ids=["operators", "dense"])
def test_factors_are_the_costs_of_any_graph(space: SearchSpace) -> None:
    """Arithmetic is a sum over pairs of widths, however many a layer reads; memory is never counted too low."""
    macs = [Factor(*factor) for factor in mac_factors(space)]
    assert max(len(factor.scope) for factor in macs) == 2
    peaks, rng = peak_factors(space), np.random.default_rng(0)
    for config in (space.smallest, space.largest, *(space.sample(rng) for _ in range(10))):
        rows, found = np.array([space.indices(config)]), costs(space, config)
        assert total(macs, rows)[0] == found.macs
        bound = max(total([Factor(one.scope, one.values)], rows)[0] for one in peaks)
        assert found.peak_activations == simulated_peak(space, space.widths(config)) <= bound
        assert bound == found.peak_activations or not all(peak.exact for peak in peaks)


def test_too_many_widths_for_one_layer_give_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says so; with room for all of them it is exact."""
    space = dense_block(6)
    bound = peak_factors(space)
    assert not all(peak.exact for peak in bound)
    assert max(len(peak.scope) for peak in bound) == module.MOST_IN_A_PEAK
    monkeypatch.setattr(module, "MOST_IN_A_PEAK", 6)
    exact = peak_factors(space)
    assert all(peak.exact for peak in exact)
    assert exact[0].values.max() == bound[0].values.max()


def test_arithmetic_of_grouped_and_dilated_convolutions() -> None:
    """Three groups read a third of the channels each; a dilation changes nothing but the size."""
    nodes = (
        Node(name="wide", operator=Conv(width=12), inputs=(INPUT,)),
        Node(name="grouped", operator=Conv(width=6, kernel=3, groups=3, affine="none"), inputs=("wide",)),
        Node(name="apart", operator=Conv(width=2, kernel=3, dilation=2, padding=0), inputs=("grouped",)),
        Node(name="logits", operator=Dense(width=5), inputs=("apart",)),
    )
    network = NetworkSpec(family="grouped", resolution=(8, 6), in_channels=2, nodes=nodes)
    counted = costs(SearchSpace(network=network, variables=()), SearchSpace(network=network, variables=()).largest)
    pixels = 8 * 6
    assert counted.macs == math.prod((pixels, 2, 12)) + pixels * 9 * 4 * 6 + 4 * 2 * 9 * 6 * 2 + 4 * 2 * 2 * 5
    assert counted.parameters == 24 + 12 + 9 * 4 * 6 + 9 * 6 * 2 + 2 + 4 * 2 * 2 * 5 + 5
    assert counted.peak_activations == pixels * (12 + 6)
    assert [len(live) for live in live_tensors(network)] == [2, 2, 2, 2]
