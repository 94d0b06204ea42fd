"""Every operator computes in torch what torch's own module of that name computes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.graph.operators import (
    OPERATORS,
    Activate,
    AveragePool,
    ChannelShuffle,
    Conv,
    Dense,
    Depthwise,
    MaxPool,
    Multiply,
    PRelu,
    Slice,
    Upsample,
    ZeroPad,
)
from edgewidth.graph.operators.activation import ACTIVATIONS, Clamp, Elu, LeakyRelu
from edgewidth.graph.spec import INPUT, Layer
from edgewidth.graph.widths import TensorShape
from edgewidth.training.networks import operators as table
from edgewidth.training.networks.operators import activate, compute

if TYPE_CHECKING:
    from edgewidth.graph.operators.operator import Operator
    from edgewidth.graph.widths import Channels


def layer_of(operator: Operator, *inputs: Tensor, channels: Channels | None = None) -> Layer:
    reads = tuple(TensorShape(tuple(x.shape[2:]), channels or (x.shape[1],)) for x in inputs)
    output = operator.output_shape(reads)
    return Layer("layer", operator, (INPUT,) * len(inputs), reads, output, operator.kernel_axes(reads))


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def run(operator: Operator, *inputs: Tensor, weights: tuple[Tensor, ...] = (), channels: Channels | None = None) -> Any:
    """What the layer computes, held against the shape that it announces."""
    layer = layer_of(operator, *inputs, channels=channels)
    y = activate(layer, compute(layer, {"w": 4}, *inputs, *weights))
    assert tuple(y.shape[1:]) == (
        sum(c if isinstance(c, int) else 4 for c in layer.output.channels),
        *layer.output.size,
    )
    return y


def test_tables_have_every_operator_and_activation() -> None:
    """And nothing else."""
    assert table.OPERATORS.keys() == OPERATORS
    assert table.ACTIVATIONS.keys() == ACTIVATIONS


@pytest.mark.parametrize("size", [(9, 12), (12, 9)])
@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 1), (2, 1, (0, 2)), ((2, 1), 1, 1), (1, 2, (3, 0))])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_convolutions_are_torchs(size: tuple[int, int], stride: Any, dilation: int, padding: Any, groups: int) -> None:
    """Kernels of other heights than widths, groups, one for each channel and several."""
    module = nn.Conv2d(6, 12, (3, 2), stride, padding, dilation, groups)
    operator: Operator = Conv(
        width=12, kernel=(3, 2), stride=stride, padding=padding, dilation=dilation, groups=groups, affine="bias"
    )
    if groups == 6:
        operator = Depthwise(kernel=(3, 2), stride=stride, padding=padding, dilation=dilation, multiplier=2)
    x = random(2, 6, *size)
    assert module.bias is not None
    torch.testing.assert_close(run(operator, x, weights=(module.weight, module.bias)), module(x))


def test_a_dense_layer_reads_a_map_as_torch_flattens_it() -> None:
    """Channel after channel."""
    x, kernel, bias = random(2, 3, 4, 5), random(7, 3, 4, 5), random(7)
    expected = functional.linear(x.flatten(1), kernel.flatten(1), bias)
    torch.testing.assert_close(run(Dense(width=7), x, weights=(kernel, bias)), expected)


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (5, 11)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0)), (5, 3, 2)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooling_is_torchs(size: tuple[int, int], kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
    """With a last window that hangs over, and with padding that counts or not."""
    x = random(2, 3, *size)
    attributes = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    torch.testing.assert_close(
        run(MaxPool(**attributes), x), functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode)
    )
    for counted in (False, True):
        expected = functional.avg_pool2d(x, kernel, stride, padding, ceil_mode, counted)
        torch.testing.assert_close(run(AveragePool(**attributes, count_include_pad=counted), x), expected)


@pytest.mark.parametrize(
    ("activation", "module"),
    [
        ("relu", nn.ReLU()),
        ("relu6", nn.ReLU6()),
        ("sigmoid", nn.Sigmoid()),
        ("silu", nn.SiLU()),
        ("hard_sigmoid", nn.Hardsigmoid()),
        ("tanh", nn.Tanh()),
        ("gelu", nn.GELU()),
        ("hard_swish", nn.Hardswish()),
        (LeakyRelu(slope=0.2), nn.LeakyReLU(0.2)),
        (Elu(alpha=0.7), nn.ELU(0.7)),
        (Clamp(least=-0.5, greatest=2), nn.Hardtanh(-0.5, 2)),
    ],
)
def test_activations_are_torchs(activation: Any, module: nn.Module) -> None:
    """And leave a tensor alone that others read."""
    x = 8 * random(2, 5, 6)
    before = x.clone()
    torch.testing.assert_close(run(Activate(activation=activation), x), module(before))
    assert torch.equal(x, before)


def test_small_operators_are_torchs() -> None:
    """One of each that has little to vary."""
    x = random(2, 6, 5, 7)
    slopes, gate = random(6), random(2, 6)
    torch.testing.assert_close(run(PRelu(), x, weights=(slopes,)), functional.prelu(x, slopes))
    torch.testing.assert_close(run(ChannelShuffle(groups=3), x), nn.ChannelShuffle(3)(x))
    torch.testing.assert_close(run(ZeroPad(padding=((1, 2), (3, 0))), x), functional.pad(x, (3, 0, 1, 2)))
    for second in (gate, gate[..., None, None], x.flip(0)):
        expected = x * (second[..., None, None] if second.ndim == 2 else second)
        torch.testing.assert_close(run(Multiply(), x, second), expected)
    torch.testing.assert_close(run(Slice(start=1, stop=3), x, channels=(1, "w", 1)), x[:, 1:])
    for mode, align in [("nearest", False), *product(["bilinear"], [False, True])]:
        expected = functional.interpolate(x, (11, 10), mode=mode, align_corners=align if mode == "bilinear" else None)
        torch.testing.assert_close(run(Upsample(size=(11, 10), mode=mode, align_corners=align), x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_uneven_padding_is_torchs_own(dtype: torch.dtype, size: tuple[int, int]) -> None:
    """To the last bit, where it converts what it pads, too; gradients within rounding."""
    operator = Depthwise(kernel=(3, 5), stride=(2, 2))
    x, kernel = random(2, 4, *size).to(dtype).requires_grad_(), random(4, 1, 3, 5).requires_grad_()
    (top, bottom), (left, right) = operator.pads(x.shape[2:])
    assert (top, left) != (bottom, right)
    padded = functional.pad(x.float(), (left, right, top, bottom))
    expected = functional.conv2d(padded, kernel, None, 2, groups=4)
    y = compute(layer_of(operator, x), {}, x, kernel)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    found = torch.autograd.grad(y.square().sum(), [x, kernel])
    torch.testing.assert_close(found, torch.autograd.grad(expected.square().sum(), [x, kernel]), rtol=1e-5, atol=1e-5)
