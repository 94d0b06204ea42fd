"""Networks as data: MobileNet-v1 as published, residual networks, search spaces and what can be counted."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from edgewidth.errors import InputError
from edgewidth.graph.costs import costs, layer_costs, live_tensors
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import (
    Add,
    ChannelShuffle,
    Concatenate,
    Conv,
    Dense,
    Depthwise,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Multiply,
    Slice,
    Unflatten,
    Upsample,
    ZeroPad,
)
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import NetworkSpec, Node

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator


def mobilenet_space(**options: object) -> SearchSpace:
    defaults: dict[str, object] = {"resolution": 224, "in_channels": 3, "num_classes": 1000}
    return search_space("mobilenet_v1", **(defaults | options))  # type: ignore[arg-type]  # options by name


def residual_network(**changes: object) -> NetworkSpec:
    """Two blocks that add to a shared width, and a head."""
    nodes = (
        Node(name="stem", operator=Conv(width="trunk", kernel=3, stride=2, activation="relu6"), inputs=("input",)),
        Node(name="a1", operator=Conv(width="inner1", activation="relu6"), inputs=("stem",)),
        Node(name="a2", operator=Depthwise(kernel=3, activation="relu6"), inputs=("a1",)),
        Node(name="a3", operator=Conv(width="trunk"), inputs=("a2",)),
        Node(name="a", operator=Add(), inputs=("a3", "stem")),
        Node(name="b1", operator=Conv(width="inner2", kernel=3, activation="relu6"), inputs=("a",)),
        Node(name="b2", operator=Conv(width="trunk"), inputs=("b1",)),
        Node(name="b", operator=Add(), inputs=("b2", "a")),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("b",)),
        Node(name="logits", operator=Dense(width=10), inputs=("pool",)),
    )
    fields = {"family": "residual", "resolution": 33, "in_channels": 3, "nodes": nodes}
    return NetworkSpec.model_validate(fields | changes)


def residual_space() -> SearchSpace:
    return SearchSpace(
        network=residual_network(),
        variables=(
            WidthVariable(name="trunk", base=16, choices=(8, 16, 24)),
            WidthVariable(name="inner1", base=32, choices=(16, 32)),
            WidthVariable(name="inner2", base=16, choices=(8, 16)),
        ),
    )


def test_mobilenet_is_the_published_one() -> None:
    """Table 1 of arXiv 1704.04861: spatial sizes, 569 million multiply-accumulates, 4.2 million parameters."""
    space = mobilenet_space()
    sizes = [layer.output.size for layer in space.network.layers if isinstance(layer.operator, Depthwise)]
    assert sizes == [(n, n) for n in (112, 56, 56, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7)]
    counted = costs(space, space.uniform(1.0))
    assert round(counted.macs / 1e6) == 569
    assert round(counted.parameters / 1e6, 1) == 4.2
    assert counted.peak_activations == 112 * 112 * (32 + 64)


@pytest.mark.parametrize(("multiplier", "million_macs"), [(0.75, 325), (0.5, 149), (0.25, 41)])
def test_uniform_multipliers_cost_what_is_published(multiplier: float, million_macs: int) -> None:
    """Table 6 of the same; levels of 1/8 hold all of its width multipliers."""
    space = mobilenet_space(min_width=0.25, max_width=1.5, levels=11)
    assert round(costs(space, space.uniform(multiplier)).macs / 1e6) == million_macs


def test_the_default_space_has_the_levels_of_aows() -> None:
    """6, 11, then twelve times 14 levels, all multiples of 8: 3.7 × 10^15 configurations."""
    space = mobilenet_space()
    assert [len(variable.choices) for variable in space.variables] == [6, 11] + [14] * 12
    assert space.size == 6 * 11 * 14**12
    assert all(choice % 8 == 0 for variable in space.variables for choice in variable.choices)
    assert space.variables[0].choices == (8, 16, 24, 32, 40, 48)
    assert space.variables[2].choices[0] == 24  # 20 % of 128 is 25.6
    assert space.variables[-1].choices[-1] == 1536
    assert all(variable.base in variable.choices for variable in space.variables)


def test_range_levels_and_divisor_are_options() -> None:
    """Two levels of multiples of 1 from 50 % to 100 %."""
    space = mobilenet_space(min_width=0.5, max_width=1.0, levels=2, divisor=1)
    assert [v.choices for v in space.variables][:3] == [(16, 32), (32, 64), (64, 128)]
    assert mobilenet_space(min_width=1.0, max_width=1.0, levels=1).size == 1


@pytest.mark.parametrize("divisor", [8, 32])
def test_a_wider_range_has_more_levels(divisor: int) -> None:
    """To 200 %, still every tenth, with the published widths among them."""
    space = mobilenet_space(max_width=2.0, divisor=divisor)
    for variable in space.variables:
        tenths = [max(divisor, divisor * math.floor(variable.base * m / 10 / divisor + 0.5)) for m in range(2, 21)]
        assert variable.choices == tuple(sorted(set(tenths)))
        assert variable.choices[-1] == 2 * variable.base
    assert space.uniform(1.0) == tuple(variable.base for variable in space.variables)


@pytest.mark.parametrize(
    "options",
    [{"min_width": 0}, {"max_width": 8.1}, {"min_width": 2.0}, {"levels": 0}, {"divisor": 0}, {"max_width": math.inf}],
)
def test_ranges_that_are_none(options: dict[str, float]) -> None:
    """Refused with what would be one."""
    with pytest.raises(InputError, match="are no range") as caught:
        mobilenet_space(**options)
    assert caught.value.remedy


def test_same_padding_rounds_sizes_up() -> None:
    """TensorFlow's SAME: the output has ceil(input / stride) pixels, whatever the kernel."""
    layers = {layer.name: layer for layer in residual_network().layers}
    assert (layers["stem"].reads[0].size, layers["stem"].output.size) == ((33, 33), (17, 17))
    assert (layers["b1"].reads[0].size, layers["b1"].output.size) == ((17, 17), (17, 17))
    assert (layers["pool"].output.size, layers["logits"].output.size) == ((), ())


def test_a_residual_network_needs_only_a_description() -> None:
    """Layers share the width they add up to; widths resolve through depthwise, add and pooling."""
    space = residual_space()
    assert space.network.variables == ("trunk", "inner1", "inner2")
    layers = {layer.name: layer for layer in space.network.layers}
    assert layers["a2"].reads[0].channels == layers["a2"].output.channels == ("inner1",)
    assert layers["b"].output.channels == layers["logits"].reads[0].channels == ("trunk",)
    assert SearchSpace.model_validate_json(space.model_dump_json()) == space


def test_residual_costs_are_those_counted_by_hand() -> None:
    """Every layer of the small residual network at widths 8-16-8, counted apart."""
    pixels = 17 * 17
    counted = costs(residual_space(), ChannelConfig((8, 16, 8)))
    assert counted.macs == pixels * (27 * 8 + 8 * 16 + 9 * 16 + 16 * 8 + 9 * 8 * 8 + 8 * 8) + 8 * 10
    weights = 27 * 8 + 8 * 16 + 9 * 16 + 16 * 8 + 9 * 8 * 8 + 8 * 8 + 8 * 10
    assert counted.parameters == weights + 8 + 16 + 16 + 8 + 8 + 8 + 10
    # While a2 runs, what it reads and makes are there, and the stem's output for the addition.
    assert counted.peak_activations == pixels * (16 + 16 + 8)


def test_adding_costs_memory_but_no_multiplications() -> None:
    """Both inputs and the output live at once."""
    network = residual_network()
    place = next(place for place, layer in enumerate(network.layers) if isinstance(layer.operator, Add))
    assert layer_costs(network.layers[place], {"trunk": 8}) == (0, 0)
    assert sum(one.elements({"trunk": 8}) for one in live_tensors(network)[place]) == 3 * 17 * 17 * 8


def broken(name: str, operator: Operator | None = None, inputs: tuple[str, ...] = ()) -> tuple[Node, ...]:
    """The residual network's nodes with one changed."""
    return tuple(
        Node(name=name, operator=operator or node.operator, inputs=inputs or node.inputs) if node.name == name else node
        for node in residual_network().nodes
    )


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "at least one layer"),
        (residual_network().nodes[:-1], "last layer, pool, must give a vector of fixed length"),
        (residual_network().nodes[:-2], "last layer, b, must give a vector of fixed length"),
        (broken("a1", inputs=("later",)), "layer a1: input later is not an earlier layer"),
        (broken("b2", Conv(width="inner1")), "layer b: .* different widths"),
        (broken("a2", Depthwise(kernel=3, stride=2)), "layer a: .* different sizes"),
        (broken("pool", Flatten()), "layer pool: flatten takes a map of one pixel, .* 17×17"),
        (broken("b1", Conv(width="inner2", groups=2)), "layer b1: conv in groups .* trunk is a width variable"),
        (broken("a2", Depthwise(kernel=3, multiplier=2)), "layer a2: depthwise .* inner1 is a width variable"),
        (broken("a2", ChannelShuffle(groups=2)), "layer a2: channel_shuffle .* inner1 is a width variable"),
        (broken("a2", Slice(start=0, stop=2)), "layer a2: slice ends at segment 2, and its input has 1"),
        (broken("b", Multiply(), ("b2", "a1")), "layer b: multiply .* different widths"),
        (broken("b", Multiply(), ("b2", "input")), "layer b: multiply .* different widths"),
        (broken("a2", Conv(width=8, kernel=18, padding=0)), "layer a2: conv has a kernel .* larger .* 17×17"),
        (broken("a2", Conv(width=8, kernel=3, stride=2, dilation=2)), "layer a2: .* a stride and a dilation"),
        (broken("a2", MaxPool(kernel=3, padding=2)), "layer a2: .* padding of more than half its kernel"),
        (broken("logits", ZeroPad(padding=1)), "layer logits: zero_pad takes a map"),
        (broken("a2", Unflatten()), "layer a2: unflatten takes a vector"),
        (broken("a2", Upsample(size=34, align_corners=True)), "layer a2: upsample aligns corners"),
        (broken("logits", Conv(width=10)), "layer logits: conv takes a map"),
        (broken("logits", GlobalAveragePool()), "layer logits: .* its input is a vector"),
        (broken("a", Add(), ("a3",)), r"layer a: add takes 2 input\(s\), not 1"),
        (broken("a", Concatenate(), ("a3",)), r"layer a: concatenate takes at least 2 input\(s\), not 1"),
        (broken("a3", Conv(width="trunk"), ("a2", "stem")), r"layer a3: conv takes 1 input\(s\), not 2"),
        ((*residual_network().nodes[:1], *residual_network().nodes), "layer stem exists twice"),
    ],
)
def test_descriptions_that_are_no_network(nodes: tuple[Node, ...], message: str) -> None:
    """Each is refused with the layer that is wrong."""
    with pytest.raises(ValidationError, match=message):
        residual_network(nodes=nodes)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ({"op": "conv"}, "Field required"),
        ({"op": "depthwise", "width": 8}, "Extra inputs"),
        ({"op": "conv", "width": 0}, "greater than or equal to 1"),
        ({"op": "conv", "width": 8, "kernel": [3, 0]}, "greater than or equal to 1"),
        ({"op": "pad"}, "does not match any of the expected tags"),
        ({"op": "slice", "start": 2, "stop": 2}, "holds nothing"),
        ({"op": "activate", "activation": {"function": "clamp", "least": 1, "greatest": 0}}, "needs a range"),
        ({"op": "conv", "width": 8, "padding": [1, 2, 3]}, "padding"),
        ({"op": "conv", "width": []}, "at least 1 item"),
    ],
)
def test_operators_that_contradict_themselves(operator: dict[str, object], message: str) -> None:
    """An operator states its own attributes, and all of them."""
    with pytest.raises(ValidationError, match=message):
        Node.model_validate({"name": "layer", "inputs": ["input"], "operator": operator})


@pytest.mark.parametrize("choices", [(), (8, 8), (16, 8)])
def test_choices_ascend(choices: tuple[int, ...]) -> None:
    """Without a choice, or out of order."""
    with pytest.raises(ValidationError, match="must be distinct and ascend"):
        WidthVariable(name="w", base=8, choices=choices)


def test_a_space_covers_its_network() -> None:
    """A variable too few."""
    with pytest.raises(ValidationError, match="must be those of the network"):
        SearchSpace(network=residual_network(), variables=residual_space().variables[:2])


def test_configurations_round_trip_through_text_and_indices() -> None:
    """Text, indices and names of 50 random configurations."""
    space = mobilenet_space()
    rng = np.random.default_rng(0)
    for _ in range(50):
        config = space.sample(rng)
        assert ChannelConfig.parse(str(config)) == config
        assert space.config(space.indices(config)) == config
        assert list(space.widths(config).values()) == list(config)
    assert str(space.smallest).startswith("8-16-24-24-48")
    assert space.indices(space.smallest) == (0,) * 14
    assert space.indices(space.largest) == (5, 10) + (13,) * 12


@pytest.mark.parametrize("text", ["", "16", "16-32-64", " 8-8 "])
def test_text_of_a_configuration(text: str) -> None:
    """What is widths joined by hyphens is read; surrounding space is forgiven."""
    if text:
        assert str(ChannelConfig.parse(text)) == text.strip()
        return
    with pytest.raises(InputError):
        ChannelConfig.parse(text)


@pytest.mark.parametrize("text", ["16-", "-16", "16--32", "a-b", "16-0", "1.5", "16,32", "²-3", "٣-4", "9" * 5000])
def test_text_that_is_no_configuration(text: str) -> None:
    """Every other text is refused, digits of other scripts and endless ones among them."""
    with pytest.raises(InputError, match="is not a channel configuration"):
        ChannelConfig.parse(text)


def test_a_space_refuses_configurations_that_are_not_its_own() -> None:
    """Another length, and a width that is no choice, which it lists."""
    space = residual_space()
    with pytest.raises(InputError, match="has 2 widths; this search space has 3"):
        space.check(ChannelConfig((8, 16)))
    with pytest.raises(InputError, match=r"width 9 of trunk .* may be 8, 16, 24"):
        space.check(ChannelConfig((9, 16, 8)))


def test_uniform_configurations_ascend() -> None:
    """From the smallest to the largest, without repetition, 1.0 among them; ties go to the wider choice."""
    space = mobilenet_space(divisor=1)
    bases = {variable.name: variable.base + i for i, variable in enumerate(space.variables)}  # no powers of two
    variables = tuple(v.model_copy(update={"base": bases[v.name]}) for v in space.variables)
    space = space.model_copy(update={"variables": variables})
    uniforms = list(space.uniforms())
    assert uniforms[0] == space.smallest
    assert uniforms[-1] == space.largest
    assert space.uniform(1.0) in uniforms
    assert len(set(uniforms)) == len(uniforms)
    assert all(all(a <= b for a, b in zip(x, y, strict=True)) for x, y in pairwise(uniforms))
    assert {space.uniform(multiplier) for multiplier in np.arange(0.1, 1.6, 1e-3)} < set(uniforms)
    assert WidthVariable(name="w", base=8, choices=(8, 16)).nearest(12) == 16


def test_fingerprints_tell_descriptions_apart() -> None:
    """Equal for equal spaces, different as soon as anything differs."""
    spaces = [
        mobilenet_space(),
        mobilenet_space(resolution=192),
        mobilenet_space(num_classes=10),
        mobilenet_space(levels=13),
        mobilenet_space(divisor=16),
        residual_space(),
    ]
    assert len({space.fingerprint for space in spaces}) == len(spaces)
    assert mobilenet_space().fingerprint == spaces[0].fingerprint


def test_a_fingerprint_stays_when_edgewidth_changes() -> None:
    """Measurements are stored under it: fields that are added with a default must not change it."""
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
    assert space.fingerprint == "1866afbe31227605"


@pytest.mark.parametrize("layers", [[1], [{"name": "a"}], [{"name": "a", "op": "conv", "inputs": []}], None])
def test_flat_layers_that_no_version_wrote(layers: object) -> None:
    """A damaged file is refused as such, and not with an error of Python's."""
    with pytest.raises(ValidationError):
        NetworkSpec.model_validate({"family": "x", "resolution": 8, "in_channels": 1, "layers": layers})


def test_differences_are_told_in_words() -> None:
    """Those that options make; others at least as such."""
    here = mobilenet_space()
    assert here.differences(mobilenet_space()) == ""
    assert here.differences(mobilenet_space(resolution=192, num_classes=10)) == (
        "resolution: 224 here, 192 there; classes: 1000 here, 10 there"
    )
    assert here.differences(mobilenet_space(max_width=2.0), here="a", there="b") == (
        "widths: 0.2 to 1.5 in 14 levels a, 0.2 to 2 in 19 levels b"
    )
    nodes = tuple(
        node if node.name != "conv0" else node.model_copy(update={"operator": Conv(width="w0", kernel=5, stride=2)})
        for node in here.network.nodes
    )
    other = here.network.model_copy(update={"nodes": nodes})
    assert here.differences(here.model_copy(update={"network": other})) == "layers or single widths"


def test_choices_by_name_or_of_a_fixed_width() -> None:
    """A fixed width is its own only choice."""
    assert residual_space().choices_of("inner1") == (16, 32)
    assert residual_space().choices_of(10) == (10,)
