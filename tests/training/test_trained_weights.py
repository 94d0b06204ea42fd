"""Trained weights stay what they are: put in order, widened, and with others' normalisation made ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from small_training import small_data, small_space
from torch import nn
from torch.nn import functional

from edgewidth.data.batches import Batch
from edgewidth.data.pixels import normalise_tensor
from edgewidth.errors import InputError
from edgewidth.graph.families.registry import FAMILIES, search_space
from edgewidth.graph.normalised import with_batch_norm
from edgewidth.graph.operators import (
    Activate,
    Add,
    BatchNorm,
    Concatenate,
    Conv,
    Dense,
    Depthwise,
    GlobalAveragePool,
    MaxPool,
    Multiply,
    PRelu,
    Slice,
    Unflatten,
)
from edgewidth.graph.operators.operator import Affine
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.training.importance import measure_importance, order_channels
from edgewidth.training.networks.inference import fold_tensors, folded_outputs, run_folded
from edgewidth.training.networks.normalisation import absorb_normalisation, settle_normalisation
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.pretrained import Given, copy_weights, trained_network
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import save_plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from edgewidth.graph.operators.operator import Operator


class Line(NamedTuple):
    """A node by its name, operator and inputs."""

    name: str
    operator: Operator
    inputs: str

    def node(self) -> Node:
        return Node(name=self.name, operator=self.operator, inputs=tuple(self.inputs.split()))


def space_of(lines: Sequence[Line], widths: dict[str, tuple[int, ...]], *, in_channels: int = 3) -> SearchSpace:
    nodes = tuple(line.node() for line in lines)
    network = NetworkSpec(family="lines", resolution=12, in_channels=in_channels, nodes=nodes)
    variables = tuple(
        WidthVariable(name=name, base=max(widths[name]), choices=widths[name]) for name in network.variables
    )
    return SearchSpace(network=network, variables=variables)


def everything() -> SearchSpace:
    """A network in which channels meet in every way there is."""
    lines = [
        Line("stem", Conv(width="a", kernel=3, stride=2, activation="relu6"), INPUT),
        Line("wide", Conv(width=("b", "c"), affine="bias", activation="hard_swish"), "stem"),
        Line("left", Slice(start=0, stop=1), "wide"),
        Line("right", Slice(start=1, stop=2), "wide"),
        Line("spatial", Depthwise(kernel=3), "right"),
        Line("slopes", PRelu(), "spatial"),
        Line("back", Conv(width="b", affine="none"), "slopes"),
        Line("sum", Add(), "left back"),
        Line("fixed", Conv(width=5, activation="relu"), "sum"),
        Line("joined", Concatenate(), "sum fixed right sum"),
        Line("norm", BatchNorm(activation="relu"), "joined"),
        Line("pooled", MaxPool(kernel=2, stride=2), "norm"),
        Line("narrow", Conv(width="d", kernel=3, activation="silu"), "pooled"),
        Line("mean", GlobalAveragePool(), "narrow"),
        Line("squeeze", Dense(width="e", activation="relu"), "mean"),
        Line("excite", Dense(width="d"), "squeeze"),
        Line("gate", Activate(activation="hard_sigmoid"), "excite"),
        Line("as_map", Unflatten(), "gate"),
        Line("scaled", Multiply(), "narrow as_map"),
        Line("logits", Dense(width=4), "scaled"),
    ]
    return space_of(lines, {"a": (4, 6), "b": (3, 7), "c": (2, 8), "d": (4, 9), "e": (2, 5)})


def any_network(space: SearchSpace, *, seed: int = 0) -> PlainNetwork:
    """Random weights, normalisation and statistics at the greatest widths."""
    network = PlainNetwork(space, space.largest, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith((".scale", ".variance")):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif name.endswith((".shift", ".mean")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
    return network


def images(space: SearchSpace, count: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    size = space.network.input.size
    return torch.randint(0, 256, (count, *size, space.network.in_channels), generator=generator).to(torch.uint8)


def answers(network: PlainNetwork, pixels: Tensor | None = None) -> Tensor:
    """What the network computes in inference."""
    weights = fold_tensors(network.weights(), network.moments)
    shown = images(network.space) if pixels is None else pixels
    return folded_outputs(network.space.network, network.widths, weights, shown)


def families() -> list[SearchSpace]:
    return [
        search_space(name, resolution=32, in_channels=3, num_classes=5, min_width=0.25, max_width=0.5, levels=2)
        for name in FAMILIES
    ]


@pytest.mark.parametrize("space", [small_space(), everything(), *families()], ids=lambda space: space.network.family)
def test_order_changes_nothing_but_the_order(space: SearchSpace) -> None:
    """Channels were elsewhere, each is there once, and the network computes what it did, in training too."""
    network = any_network(space)
    shown = images(space)
    x = normalise_tensor(shown)
    with torch.no_grad():
        before, trained = answers(network), network(x)
    old = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    generator = torch.Generator().manual_seed(2)
    order_channels(network, {name: torch.rand(width, generator=generator) for name, width in network.widths.items()})
    with torch.no_grad():
        torch.testing.assert_close(answers(network), before, rtol=1e-4, atol=1e-4 * float(before.std()))
        torch.testing.assert_close(network(x), trained, rtol=1e-4, atol=1e-3 * float(trained.std()))
    new = network.state_dict()
    moved = [name for name, tensor in old.items() if not torch.equal(new[name], tensor)]
    assert {name for name in old if name.endswith("kernel")} <= set(moved)
    assert all(torch.equal(new[name].flatten().sort().values, old[name].flatten().sort().values) for name in moved)


def test_importance_is_the_loss_without_a_channel_to_first_order() -> None:
    """By differences of every image's loss: what makes a channel is scaled wherever its variable is."""
    space = everything()
    network, objective = any_network(space), small_data().task.objective()
    spec, widths = space.network, network.widths
    batch = Batch(normalise_tensor(images(space)), torch.arange(16) % 3)
    layers = {layer.name: layer for layer in spec.layers if isinstance(layer.operator, Affine | BatchNorm)}

    def losses(variable: str, channel: int, scale: float) -> Tensor:
        def scaled(name: str, y: Tensor) -> Tensor:
            y, start = y.clone(), 0
            for segment in layers[name].output.channels if name in layers else ():
                if segment == variable:
                    y[:, start + channel] *= scale
                start += segment if isinstance(segment, int) else widths[segment]
            return y

        weights = fold_tensors(network.weights(), network.moments)
        return objective.losses(run_folded(spec, widths, weights, batch.images, scaled), batch.targets)

    found = measure_importance(network, [batch, batch], objective)
    assert {name: len(values) for name, values in found.items()} == widths
    for variable, channel in (("a", 2), ("b", 0), ("b", 5), ("c", 3), ("d", 8), ("e", 1)):
        with torch.no_grad():
            change = (losses(variable, channel, 1.002) - losses(variable, channel, 0.998)) / 0.004
        assert float(found[variable][channel]) == pytest.approx(2 * float(change.abs().sum()), rel=0.03, abs=5e-3)


def test_the_most_important_channels_come_first() -> None:
    """In descending order, and the importance of the ordered network's own channels descends."""
    space = everything()
    network, objective = any_network(space), small_data().task.objective()
    batch = Batch(normalise_tensor(images(space)), torch.arange(16) % 3)
    first = measure_importance(network, [batch], objective)
    order_channels(network, first)
    for name, values in measure_importance(network, [batch], objective).items():
        torch.testing.assert_close(values, first[name].sort(descending=True).values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("space", [everything(), *families()], ids=lambda space: space.network.family)
def test_wider_than_trained_computes_the_same(space: SearchSpace) -> None:
    """In inference and in training; and of new channels what makes them is random, so that they can learn."""
    own = space.model_copy(
        update={"variables": tuple(v.model_copy(update={"choices": v.choices[:1]}) for v in space.variables)}
    )
    narrow = any_network(SearchSpace(network=own.network, variables=own.variables))
    wide = Supernet(space, seed=5)
    copy_weights(wide, Given.of(narrow))
    x = normalise_tensor(images(space))
    with torch.no_grad():
        torch.testing.assert_close(wide(x, space.largest), narrow(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(wide(x, space.smallest), narrow(x), rtol=1e-4, atol=1e-4)
    torch.autograd.backward(functional.cross_entropy(wide(x, space.largest), torch.zeros(len(x), dtype=torch.int64)))
    learning = [
        name
        for name, parameter in wide.named_parameters()
        if name.endswith("kernel")
        and parameter.ndim > 1
        and parameter.grad is not None
        and any(
            parameter.grad.narrow(axis, old, parameter.shape[axis] - old).any()
            for axis, old in enumerate(narrow.state_dict()[name].shape[:2])
            if old < parameter.shape[axis]
        )
    ]
    assert "layers.logits.kernel" in learning


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_normalisation_of_pixels_is_absorbed(*, padding: int, normalised: bool) -> None:
    """By torch's own network on normalised pixels. With padding all but what reads the border is the same."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.manual_seed(3)
    conv, norm = nn.Conv2d(3, 6, 3, padding=padding, bias=not normalised), nn.BatchNorm2d(6, eps=1e-3).eval()
    lines = [
        Line("first", Conv(width="a", kernel=3, padding=padding, affine="batch_norm" if normalised else "bias"), INPUT),
        Line("flat", Dense(width=4), "first"),
    ]
    network = any_network(space_of(lines, {"a": (6,)}))
    layer, last = (getattr(network.layers, name) for name in ("first", "flat"))
    with torch.no_grad():
        conv.weight.copy_(layer.kernel)
        if normalised:
            norm.weight.copy_(layer.scale)
            norm.bias.copy_(layer.shift)
            norm.running_mean, norm.running_var = (tensor.clone() for tensor in network.moments["first"])
        elif conv.bias is not None:
            conv.bias.copy_(layer.shift)
        # The last layer reads no border, unless there is no padding.
        last.kernel[:, :, [0, -1]] = 0 if padding else last.kernel[:, :, [0, -1]]
        last.kernel[..., [0, -1]] = 0 if padding else last.kernel[..., [0, -1]]
    pixels = images(network.space)
    shown = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        y = norm(conv(shown)) if normalised else conv(shown)
        expected = functional.linear(y.flatten(1), last.kernel.flatten(1), last.shift)
    absorb_normalisation(network, mean, std)
    torch.testing.assert_close(answers(network), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("operator", "mean", "std", "message"),
    [
        (Conv(width=4), (0.5, 0.5), (0.2, 0.2), "does not fit images of 3 channel"),
        (Conv(width=4), (0.5, 0.5, 0.5), (0.2, 0.0, 0.2), "does not fit images of 3 channel"),
        (Conv(width=4), (0.5, 0.5, 0.5), (0.2, math.nan, 0.2), "does not fit images of 3 channel"),
        (Conv(width=4), (0.5, 0.5, 0.5), (0.2, 0.2, math.inf), "does not fit images of 3 channel"),
        (Conv(width=4), (0.5, math.nan, 0.5), (0.2, 0.2, 0.2), "does not fit images of 3 channel"),
        (Conv(width=4), (-math.inf, 0.5, 0.5), (0.2, 0.2, 0.2), "does not fit images of 3 channel"),
        (MaxPool(kernel=2), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "The layer first reads the image"),
        (Conv(width=4, affine="none"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "The layer first reads the image"),
    ],
)
def test_a_normalisation_that_cannot_be_absorbed_is_refused(
    operator: Operator, mean: Sequence[float], std: Sequence[float], message: str
) -> None:
    """And says what would do."""
    network = any_network(space_of([Line("first", operator, INPUT), Line("logits", Dense(width=4), "first")], {}))
    with pytest.raises(InputError, match=message) as error:
        absorb_normalisation(network, mean, std)
    assert error.value.remedy


def test_depthwise_and_grouped_layers_absorb_too() -> None:
    """Each of their outputs reads its own channels of the image."""
    mean, std = (0.1, 0.5, 0.8), (0.1, 0.2, 0.3)
    for operator in (Depthwise(kernel=2, padding=0, multiplier=2), Conv(width=9, kernel=2, padding=0, groups=3)):
        network = any_network(space_of([Line("first", operator, INPUT), Line("logits", Dense(width=4), "first")], {}))
        pixels = images(network.space)
        weights = fold_tensors(network.weights(), network.moments)
        shown = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
            :, None, None
        ]
        with torch.no_grad():
            expected = run_folded(network.space.network, network.widths, weights, shown)
        absorb_normalisation(network, mean, std)
        torch.testing.assert_close(answers(network), expected, rtol=1e-4, atol=1e-4)


def test_batch_normalisation_that_was_folded_away_is_put_back(tmp_path: Path) -> None:
    """The network computes the same as with biases, before its statistics are measured and after, also in training."""
    lines = [
        Line("stem", Conv(width="a", kernel=3, stride=2, affine="bias", activation="relu"), INPUT),
        Line("spatial", Depthwise(kernel=3, affine="bias", activation="relu"), "stem"),
        Line("end", Conv(width="b", affine="bias"), "spatial"),
        Line("mean", GlobalAveragePool(), "end"),
        Line("logits", Dense(width=4), "mean"),
    ]
    folded_space = space_of(lines, {"a": (4, 8), "b": (4, 8)})
    folded = any_network(folded_space)
    save_plain(folded, tmp_path / "own.safetensors")
    space = SearchSpace(network=with_batch_norm(folded_space.network), variables=folded_space.variables)
    assert [layer.operator.normalised for layer in space.network.layers] == [True, True, True, False, False]
    assert with_batch_norm(space.network) is space.network
    network, given = trained_network(space, tmp_path / "own.safetensors", seed=0)
    assert given.folded == ("stem", "spatial", "end")
    torch.testing.assert_close(answers(network), answers(folded), rtol=1e-4, atol=1e-5)
    settle_normalisation(network, given.folded, images(space))
    torch.testing.assert_close(answers(network), answers(folded), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(network(normalise_tensor(images(space))), answers(folded), rtol=1e-3, atol=1e-3)


def test_a_trained_network_keeps_its_own_widths_and_statistics(tmp_path: Path) -> None:
    """Whether the space has them or not; a head for other classes begins anew, and nothing else."""
    trained = any_network(small_space(in_channels=3))
    save_plain(trained, tmp_path / "own.safetensors")
    narrow = small_space(num_classes=7, in_channels=3)
    variables = tuple(v.model_copy(update={"choices": (4,)}) for v in narrow.variables)
    network, given = trained_network(
        SearchSpace(network=narrow.network, variables=variables), tmp_path / "own.safetensors", seed=0
    )
    assert given.fresh == ("logits",)
    assert network.widths == trained.widths
    old = trained.state_dict()
    assert all(torch.equal(t, old[n]) for n, t in network.state_dict().items() if not n.startswith("layers.logits"))
