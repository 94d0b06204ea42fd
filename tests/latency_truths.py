"""Devices with a known truth: tables that nobody fitted, and noise such as is seen on real machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.graph.costs import layer_costs
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import Add, Conv, Dense, Depthwise, GlobalAveragePool, MaxPool
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import NetworkSpec, Node
from edgewidth.graph.widths import total
from edgewidth.records.measurement import Engine, Precision, Runtime, Setting
from edgewidth.records.table import ConfigVisits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgewidth.graph.space import ChannelConfig
    from edgewidth.graph.spec import Layer

SETTING = Setting(
    device="known",
    hardware="a formula",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="1",
    threads=1,
    precision=Precision.INT8,
)


class Disturbance(NamedTuple):
    """Noise of visits: relative standard deviations, the drift's time constant, and the share of outliers.

    Both deviations grow with the square of latencies above ``grows_ms``.
    """

    visits: int
    visit: float
    drift: float
    drift_s: float = 40.0
    outliers: float = 0.0
    grows_ms: float = np.inf


QUIET = Disturbance(visits=1, visit=0.0003, drift=1e-6)
BUSY = Disturbance(visits=5, visit=0.05, drift=0.03, outliers=0.02)


def chain() -> SearchSpace:
    """MobileNet-v1 with 14 width variables at 96 pixels."""
    return search_space("mobilenet_v1", resolution=96, in_channels=3, num_classes=10)


def residual_space() -> SearchSpace:
    """A network whose blocks share a width variable through additions."""
    nodes = [Node(name="stem", operator=Conv(width="w0", kernel=3, stride=2, activation="relu6"), inputs=("input",))]
    for i in range(3):
        before = nodes[-1].name
        nodes += [
            Node(name=f"expand{i}", operator=Conv(width=f"e{i}", activation="relu6"), inputs=(before,)),
            Node(name=f"spatial{i}", operator=Depthwise(kernel=3, activation="relu6"), inputs=(f"expand{i}",)),
            Node(name=f"project{i}", operator=Conv(width="w0"), inputs=(f"spatial{i}",)),
            Node(name=f"same{i}", operator=Conv(width="w0"), inputs=(f"project{i}",)),
            Node(name=f"add{i}", operator=Add(), inputs=(f"same{i}", before)),
        ]
    nodes += [
        Node(name="pool", operator=GlobalAveragePool(), inputs=(nodes[-1].name,)),
        Node(name="logits", operator=Dense(width=5), inputs=("pool",)),
    ]
    network = NetworkSpec(family="residual", resolution=32, in_channels=3, nodes=tuple(nodes))
    choices = tuple(range(8, 72, 8))
    variables = tuple(WidthVariable(name=name, base=32, choices=choices) for name in network.variables)
    return SearchSpace(network=network, variables=variables)


def flattening_space() -> SearchSpace:
    """LeNet, whose first dense layer reads all pixels of a map."""
    nodes = (
        Node(name="conv0", operator=Conv(width="w0", kernel=5, activation="relu"), inputs=("input",)),
        Node(name="pool0", operator=MaxPool(kernel=2, stride=2), inputs=("conv0",)),
        Node(name="conv1", operator=Conv(width="w1", kernel=5, activation="relu"), inputs=("pool0",)),
        Node(name="pool1", operator=MaxPool(kernel=2, stride=2), inputs=("conv1",)),
        Node(name="dense0", operator=Dense(width="w2", activation="relu"), inputs=("pool1",)),
        Node(name="dense1", operator=Dense(width="w3", activation="relu"), inputs=("dense0",)),
        Node(name="logits", operator=Dense(width=10), inputs=("dense1",)),
    )
    network = NetworkSpec(family="lenet", resolution=28, in_channels=1, nodes=nodes)
    bases = {"w0": 8, "w1": 16, "w2": 120, "w3": 84}
    variables = tuple(
        WidthVariable(name=name, base=base, choices=tuple(range(4, base + base // 2, max(4, base // 40 * 4))))
        for name, base in bases.items()
    )
    return SearchSpace(network=network, variables=variables)


def counted_device(space: SearchSpace) -> Callable[[ChannelConfig], float]:
    """Milliseconds on a device that takes its time for multiply-accumulates, weights and what it writes alone."""

    def latency_ms(config: ChannelConfig) -> float:
        widths = space.widths(config)
        found = [(layer_costs(layer, widths), layer.output.elements(widths)) for layer in space.network.layers]
        return 0.02 + sum(5e-7 * cost.macs + 4e-6 * cost.parameters + 5e-7 * written for cost, written in found)

    return latency_ms


def tiled_device(space: SearchSpace) -> Callable[[ChannelConfig], float]:
    """Milliseconds on a device whose kernels compute 4 pixels times 16 channels at once."""

    def layer_ns(layer: Layer, ins: int, outs: int) -> float:
        pixels, op = layer.output.pixels, layer.operator.op
        if op in {"conv", "dense"}:
            tiles = np.ceil(pixels / 4) * np.ceil(outs / 16)
            return float(tiles * (64 * layer.operator.taps * ins * 0.1 + 90) + 2 * pixels * outs * 0.1 + 900)
        if op == "depthwise":
            return float(pixels * (np.ceil(outs / 16) * 16 * layer.operator.taps * 0.2 + 4) + 500)
        return float(len(layer.inputs) * layer.reads[0].pixels * ins * 0.3 + 300)

    return _summed(space, layer_ns)


def cached_device(space: SearchSpace) -> Callable[[ChannelConfig], float]:
    """Milliseconds on a device that loses efficiency on narrow layers, and where weights outgrow a cache."""

    def layer_ns(layer: Layer, ins: int, outs: int) -> float:
        pixels, op = layer.output.pixels, layer.operator.op
        if op in {"conv", "dense"}:
            taps = layer.operator.taps * ins
            efficiency = 0.5 + 0.5 * np.tanh(outs / 64)
            outgrown = 1 + 0.4 / (1 + np.exp(-(taps * outs - 2e5) / 6e4))
            return float(0.05 * pixels * taps * outs / efficiency * outgrown + 0.4 * pixels * (taps + outs) + 800)
        return float(len(layer.inputs) * layer.reads[0].pixels * ins * 0.9 + 400)

    return _summed(space, layer_ns)


def _summed(space: SearchSpace, layer_ns: Callable[[Layer, int, int], float]) -> Callable[[ChannelConfig], float]:
    def latency_ms(config: ChannelConfig) -> float:
        widths = space.widths(config)
        layers = space.network.layers
        ins, outs = (
            [total(s.channels, widths) for s in shapes]
            for shapes in zip(*((x.reads[0], x.output) for x in layers), strict=True)
        )
        return 0.02 + 1e-6 * sum(map(layer_ns, layers, ins, outs))

    return latency_ms


def measure(
    latency_ms: Callable[[ChannelConfig], float],
    configs: Sequence[ChannelConfig],
    disturbance: Disturbance,
    rng: np.random.Generator,
) -> list[ConfigVisits]:
    """Visits in shuffled rounds of 0.2 s each."""
    order = np.concatenate([rng.permutation(len(configs)) for _ in range(disturbance.visits)])
    times = 1.7e9 + 0.2 * np.arange(len(order))
    keep = np.exp(-0.2 / disturbance.drift_s)
    drift = np.zeros(len(order))
    drift[0] = rng.normal()
    for i in range(1, len(order)):
        drift[i] = keep * drift[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    # A latency is that in the device's average state.
    drift -= drift.mean()
    errors = disturbance.drift * drift + disturbance.visit * rng.standard_normal(len(order))
    latency = np.array([latency_ms(configs[c]) for c in order])
    errors *= np.hypot(1, (latency / disturbance.grows_ms) ** 2)
    errors += np.where(rng.random(len(order)) < disturbance.outliers, rng.exponential(0.5, len(order)), 0)
    values = latency * np.exp(errors)
    return [
        ConfigVisits(
            config=config, values_ms=tuple(values[order == c].tolist()), started_s=tuple(times[order == c].tolist())
        )
        for c, config in enumerate(configs)
    ]
