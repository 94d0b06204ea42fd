"""Networks small enough to convert in a test, and what makes variants of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.export.folded import random_weights
from edgewidth.export.variants import SEED, Suffix, VariantFactory
from edgewidth.records.measurement import Precision
from edgewidth.records.network import INPUT, ChannelConfig, LayerSpec, NetworkSpec, SearchSpace, WidthVariable

if TYPE_CHECKING:
    from edgewidth.records.weights import FoldedWeights

MakeFactory = Callable[[SearchSpace, Precision, Suffix], VariantFactory]


def residual_space() -> SearchSpace:
    """Two variables, one of them shared by a skip connection, and two layers whose kernels have the same shape."""
    conv = {"op": "conv", "kernel": 3, "activation": "relu6"}
    layers = (
        LayerSpec(name="stem", inputs=(INPUT,), width="a", stride=2, **conv),
        LayerSpec(name="first", inputs=("stem",), width="b", **conv),
        LayerSpec(name="second", inputs=("first",), width="a", op="conv", kernel=3),
        LayerSpec(name="sum", op="add", inputs=("second", "stem"), activation="relu6"),
        LayerSpec(name="spread", op="depthwise", inputs=("sum",), kernel=3, stride=2, activation="relu6"),
        LayerSpec(name="mix", inputs=("spread",), width="b", op="conv", activation="relu6"),
        LayerSpec(name="pool", op="global_average_pool", inputs=("mix",)),
        LayerSpec(name="logits", op="dense", inputs=("pool",), width=5),
    )
    network = NetworkSpec(family="residual", resolution=32, in_channels=3, num_classes=5, layers=layers)
    variables = (
        WidthVariable(name="a", base=16, choices=(4, 8, 12, 16)),
        WidthVariable(name="b", base=16, choices=(4, 8, 12, 16)),
    )
    return SearchSpace(network=network, variables=variables)


class Case(NamedTuple):
    """A space, the weights that its factories use, and one configuration inside it."""

    space: SearchSpace
    weights: FoldedWeights
    config: ChannelConfig


def make_case(space: SearchSpace, config: ChannelConfig) -> Case:
    weights = random_weights(space.network, space.widths(space.largest), seed=SEED)
    return Case(space, weights, config)
