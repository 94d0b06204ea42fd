"""The slimmable and the plain network compute what torch's own modules and TensorFlow compute."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from small_training import RESOLUTION, small_data, small_space
from support import require
from torch import nn
from torch.nn import functional

from edgewidth.data.pixels import normalise_tensor
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.operators.operator import NORM_EPSILON
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, Layer, NetworkSpec, Node
from edgewidth.graph.widths import TensorShape
from edgewidth.training.networks.inference import fold, fold_tensors, folded_outputs, measure_moments, network_outputs
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.operators import compute
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import load_plain, save_plain
from edgewidth.training.ordinary import MOMENT_IMAGES, finish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class _Reference(nn.Module):
    """The small network written by hand with torch's modules, at one configuration."""

    def __init__(self, supernet: Supernet, a: int, b: int) -> None:
        super().__init__()
        shapes = {"stem": (a, 1, 3), "inner": (b, a, 1), "spatial": (b, 1, 3), "outer": (a, b, 1), "down": (a, 1, 3)}
        self.convs = dict[str, nn.Conv2d]()
        self.norms = dict[str, nn.BatchNorm2d]()
        for name, (out_width, in_width, kernel) in shapes.items():
            groups = out_width if name in {"spatial", "down"} else 1
            conv = nn.Conv2d(
                in_width * groups,
                out_width,
                kernel,
                stride=2 if name in {"stem", "down"} else 1,
                groups=groups,
                padding=kernel // 2,
                bias=False,
            )
            norm = nn.BatchNorm2d(out_width, eps=NORM_EPSILON, momentum=None)
            weights = layer_weights(supernet.layers, name)
            assert weights.kernel is not None
            assert weights.scale is not None
            assert weights.shift is not None
            conv.weight.data = weights.kernel.data[:out_width, :in_width].clone()
            norm.weight.data, norm.bias.data = (
                weights.scale.data[:out_width].clone(),
                weights.shift.data[:out_width].clone(),
            )
            self.convs[name], self.norms[name] = conv, norm
        self.dense = nn.Linear(a, 3)
        dense = layer_weights(supernet.layers, "logits")
        assert dense.kernel is not None
        assert dense.shift is not None
        self.dense.weight.data, self.dense.bias.data = dense.kernel.data[:, :a].clone(), dense.shift.data.clone()
        self.kept = nn.ModuleList([*self.convs.values(), *self.norms.values()])

    def _layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.norms[name](self.convs[name](x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # At odd sizes SAME is symmetric: 9 → 5 → 3.
        stem = functional.relu6(self._layer("stem", x))
        inner = functional.relu6(self._layer("inner", stem))
        outer = self._layer("outer", functional.relu6(self._layer("spatial", inner)))
        return cast("torch.Tensor", self.dense(functional.relu6(self._layer("down", stem + outer)).mean((2, 3))))


def _supernet() -> Supernet:
    supernet = Supernet(small_space(), seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return supernet


CONFIGS = [(12, 16), (4, 4), (8, 12)]


@pytest.mark.parametrize(("a", "b"), CONFIGS)
def test_a_slice_is_the_network_of_its_own_weights(a: int, b: int) -> None:
    """Logits and gradients of a configuration equal those of a network made of its slices."""
    supernet = _supernet()
    reference = _Reference(supernet, a, b).train()
    images = normalise_tensor(torch.from_numpy(small_data().train.images[:32]))
    ours = supernet(images, ChannelConfig((a, b)))
    theirs = reference(images)
    torch.testing.assert_close(ours, theirs)
    labels = torch.arange(32) % 3
    torch.autograd.backward([functional.cross_entropy(logits, labels) for logits in (ours, theirs)])
    for name, conv in reference.convs.items():
        kernel = layer_weights(supernet.layers, name).kernel
        assert kernel is not None
        gradient = kernel.grad
        assert gradient is not None
        out_width, in_width = conv.weight.shape[:2]
        torch.testing.assert_close(gradient[:out_width, :in_width], conv.weight.grad, rtol=1e-4, atol=1e-6)
        outside = gradient.clone()
        outside[:out_width, :in_width] = 0
        assert not outside.any()


@pytest.mark.parametrize(("a", "b"), CONFIGS)
def test_folded_weights_compute_inference(a: int, b: int) -> None:
    """With statistics of all images, folded weights give what torch's batch normalisation gives in inference."""
    supernet = _supernet()
    reference = _Reference(supernet, a, b).train()
    config, images = ChannelConfig((a, b)), torch.from_numpy(small_data().train.images)
    reference(normalise_tensor(images))
    moments = measure_moments(lambda x, found: supernet(x, config, found), images, batch=len(images))
    folded = fold_tensors(supernet.weights(config), moments)
    ours = folded_outputs(supernet.space.network, supernet.space.widths(config), folded, images)
    torch.testing.assert_close(ours, reference.eval()(normalise_tensor(images)), rtol=1e-4, atol=1e-5)
    network = PlainNetwork.from_supernet(supernet, config)
    network.set_moments(measure_moments(network.forward, images, batch=len(images)))
    np.testing.assert_allclose(network_outputs(network, images.numpy()), ours.numpy(), rtol=1e-4, atol=1e-5)
    assert {name: layer.kernel.shape for name, layer in fold(network).items()} == {
        "stem": (a, 1, 3, 3),
        "inner": (b, a, 1, 1),
        "spatial": (b, 1, 3, 3),
        "outer": (a, b, 1, 1),
        "down": (a, 1, 3, 3),
        "logits": (3, a),
    }


@pytest.mark.parametrize(("images", "batch"), [(128, 32), (128, 3), (127, 32), (33, 32), (65, 32), (3, 2)])
def test_moments_of_batches_are_those_of_all_images(images: int, batch: int) -> None:
    """Of the first layer, whose input no batch has normalised; each image is brighter than the last."""
    supernet, x = _supernet(), torch.from_numpy(small_data().train.images[:images])
    brighter = torch.clamp(x.int() + 3 * torch.arange(images)[:, None, None, None], max=255).to(torch.uint8)
    largest = supernet.space.largest
    whole, parts = (
        measure_moments(lambda x, found: supernet(x, largest, found), brighter, batch=size) for size in (images, batch)
    )
    torch.testing.assert_close(parts["stem"].mean, whole["stem"].mean)
    # Variances are of samples (n - 1), so a batch's is larger than it should be by at most one of its pixels.
    torch.testing.assert_close(parts["stem"].variance, whole["stem"].variance, rtol=0.015, atol=0)


def test_statistics_do_not_depend_on_the_order_of_the_images() -> None:
    """A source that is sorted by class gives a network's statistics from all classes alike."""
    network = PlainNetwork(small_space(), ChannelConfig((8, 12)), seed=0)
    data = small_data(train=2 * MOMENT_IMAGES)
    order = np.argsort(data.train.targets, kind="stable")
    found = []
    for images in (data.train.images, data.train.images[order]):
        finish(network, replace(data, train=replace(data.train, images=images)), seed=0)
        found.append({name: moments.mean.clone() for name, moments in network.moments.items()})
    mixed, by_class = found
    for name, mean in mixed.items():
        torch.testing.assert_close(by_class[name], mean, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("op", ["conv", "depthwise"])
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int, op: str) -> None:
    """Convolutions agree with TensorFlow's SAME at odd and even sizes."""
    require(find_spec("tensorflow"), "tensorflow")
    import tensorflow as tf

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, size, size, generator=generator)
    weight = torch.randn(4, 4 if op == "conv" else 1, kernel, kernel, generator=generator)
    operator = Conv(width=4, kernel=kernel, stride=stride) if op == "conv" else Depthwise(kernel=kernel, stride=stride)
    source = TensorShape((size, size), (4,))
    layer = Layer(
        "layer", operator, (INPUT,), (source,), operator.output_shape([source]), operator.kernel_axes([source])
    )
    ours = compute(layer, {}, x, weight)
    images = x.permute(0, 2, 3, 1).numpy()
    if op == "conv":
        theirs = tf.nn.conv2d(images, weight.permute(2, 3, 1, 0).numpy(), stride, "SAME")
    else:
        theirs = tf.nn.depthwise_conv2d(images, weight.permute(2, 3, 0, 1).numpy(), [1, stride, stride, 1], "SAME")
    np.testing.assert_allclose(ours.permute(0, 2, 3, 1).numpy(), theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize(("max_width", "divisor"), [(0.5, 8), (2.0, 32)])
def test_mobilenet_runs_at_every_kind_of_width(max_width: float, divisor: int) -> None:
    """The shipped family gives logits at its smallest, largest and a mixed configuration."""
    space = search_space(
        "mobilenet_v1", resolution=32, in_channels=3, num_classes=5, max_width=max_width, divisor=divisor
    )
    supernet = Supernet(space)
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    for config in (space.smallest, space.largest, space.sample(np.random.default_rng(0))):
        assert supernet(normalise_tensor(images), config).shape == (2, 5)


def test_the_input_is_between_minus_one_and_one() -> None:
    """The one fixed normalisation: x / 127.5 − 1, channels-last."""
    x = normalise_tensor(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 2, 1))
    torch.testing.assert_close(x.flatten(), torch.tensor([-1.0, 1.0]))
    images = torch.zeros(2, RESOLUTION, RESOLUTION, 3, dtype=torch.uint8)
    assert normalise_tensor(images).is_contiguous(memory_format=torch.channels_last)


RESERVED = sorted(name for name in dir(nn.ModuleDict()) if re.fullmatch("[a-z][a-z0-9_]*", name))
"""What torch's dictionary of modules has attributes of, among names that layers may have."""


def chain(names: Sequence[str]) -> SearchSpace:
    """A convolution for each name and a linear layer."""
    nodes = [
        Node(name=name, operator=Conv(width=f"w{place}", activation="relu"), inputs=(before,))
        for place, (before, name) in enumerate(pairwise((INPUT, *names)))
    ]
    nodes += [
        Node(name="mean", operator=GlobalAveragePool(), inputs=(names[-1],)),
        Node(name="logits", operator=Dense(width=3), inputs=("mean",)),
    ]
    network = NetworkSpec(family="chain", resolution=RESOLUTION, in_channels=1, nodes=tuple(nodes))
    variables = tuple(WidthVariable(name=name, base=3, choices=(2, 3)) for name in network.variables)
    return SearchSpace(network=network, variables=variables)


def test_layers_may_be_called_anything(tmp_path: Path) -> None:
    """As methods of torch's modules are, for one; the network is the one with other names."""
    assert {"values", "training", "to", "pop"} <= set(RESERVED)
    space, other = chain(RESERVED), chain([f"layer{place}" for place in range(len(RESERVED))])
    images = torch.randint(0, 256, (4, RESOLUTION, RESOLUTION, 1), dtype=torch.uint8)
    for config in (space.smallest, space.largest):
        supernets = [Supernet(one, seed=1).to(torch.float64).float().train() for one in (space, other)]
        found, expected = (supernet(normalise_tensor(images), config) for supernet in supernets)
        assert torch.equal(found, expected)
        network, plain = (copy.deepcopy(PlainNetwork.from_supernet(one, config)).eval() for one in supernets)
        for one in (network, plain):
            one.set_moments(measure_moments(one.forward, images, batch=4))
        assert not network.layers.training
        save_plain(network, tmp_path / "network.safetensors")
        again = load_plain(tmp_path / "network.safetensors")
        np.testing.assert_array_equal(network_outputs(again, images.numpy()), network_outputs(plain, images.numpy()))
