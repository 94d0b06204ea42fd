"""Small torch modules that use one way of writing something each, and what a captured network computes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.graph.operators import Conv, Dense
from edgewidth.graph.space import ChannelConfig, SearchSpace, WidthVariable
from edgewidth.graph.widths import Cuts, resolve
from edgewidth.training.networks.inference import fold_tensors, run_folded
from edgewidth.training.networks.plain import PlainNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgewidth.capture.capture import Captured

CHANNELS, SIZE, CLASSES = 8, 16, 5


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in inference mode, with batch normalisation that does something."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for tensor, low, high in (
                (layer.running_mean, -0.2, 0.2),
                (layer.running_var, 0.5, 1.5),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.2, 0.2),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=generator)
    return module.eval()


def space_of(captured: Captured) -> SearchSpace:
    """The search space of the base widths alone."""
    pairs = zip(captured.network.variables, captured.base_widths, strict=True)
    variables = tuple(WidthVariable(name=name, base=base, choices=(base,)) for name, base in pairs)
    return SearchSpace(network=captured.network, variables=variables)


def sliced(captured: Captured, narrow: Mapping[str, int], images: Tensor) -> Tensor:
    """What a captured network gives if only the first channels of some variables are kept."""
    network, widest = captured.network, dict(zip(captured.network.variables, captured.base_widths, strict=True))
    widths = {**widest, **narrow}
    tensors = {}
    for layer in network.layers:
        places = [
            torch.cat([torch.arange(p.start, p.stop) for p in parts]) for parts in Cuts(widths, widest).of(layer.kernel)
        ]
        for key in ("kernel", "shift", "scale", "mean", "variance"):
            room = "statistics" if key in {"mean", "variance"} else "layers"
            tensor = captured.weights.get(f"{room}.{layer.name}.{key}")
            for axis in range(tensor.ndim if tensor is not None else 0):
                assert tensor is not None
                tensor = tensor.index_select(axis, places[axis])
            if tensor is not None:
                tensors[f"{room}.{layer.name}.{key}"] = tensor
    bases = tuple(widths[name] for name in network.variables)
    return outputs_of(captured._replace(base_widths=bases, weights=tensors), images)


@torch.no_grad()
def masked(module: nn.Module, captured: Captured, narrow: Mapping[str, int], images: Tensor) -> Tensor:
    """What the module gives if its layers that mix channels read zeros in place of those that are left out."""
    bases = dict(zip(captured.network.variables, captured.base_widths, strict=True))
    modules = {re.sub(r"[^a-z0-9]+", "_", path.lower()): layer for path, layer in module.named_modules()}
    handles = []
    for layer in captured.network.layers:
        if isinstance(layer.operator, Conv | Dense):
            parts = [
                torch.arange(resolve(segment, bases)) < resolve(segment, {**bases, **narrow})
                for segment in layer.reads[0].channels
            ]
            mask = torch.cat(parts)
            handles.append(modules[layer.name].register_forward_pre_hook(_masking(mask)))
    found: Tensor = module(images)
    for handle in handles:
        handle.remove()
    return found


def _masking(mask: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    def mask_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        x = inputs[0]
        along = (1, -1, *[1] * (x.ndim - 2)) if x.shape[1] == len(mask) else (1, -1)
        return x * mask.repeat_interleave(x.shape[1] // len(mask)).reshape(along)

    return mask_input


@torch.no_grad()
def outputs_of(captured: Captured, images: Tensor) -> Tensor:
    """What the captured network gives with the weights that it was captured with."""
    network = PlainNetwork(space_of(captured), ChannelConfig(captured.base_widths))
    network.load_state_dict(dict(captured.weights))
    folded = fold_tensors(network.weights(), network.moments)
    return run_folded(captured.network, network.widths, folded, images)


@torch.no_grad()
def logit_error(module: nn.Module, captured: Captured, images: Tensor) -> float:
    """The largest difference of its outputs from the module's, as a part of their spread."""
    expected = module(images)
    spread = expected.max() - expected.min()
    return float((outputs_of(captured, images) - expected).abs().max() / spread)


class Several(nn.Module):
    """A convolution, several things on its map of 8 channels and 8×8 pixels, and a linear layer on what they give."""

    def __init__(self, ways: Sequence[str]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.ways = nn.ModuleDict({way: Way(WAYS[way]()) for way in ways})
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        y = self.norm(self.stem(x))
        found: Tensor = self.head(torch.cat([way(y) for way in self.ways.values()], 1))
        return found


class Way(nn.Module):
    """A module or a function, and the mean of its pixels where it gives a map."""

    def __init__(self, between: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        """A vector."""
        y = self.between(x)
        return y.mean((2, 3)) if y.ndim == 4 else y


class SqueezeExcite(nn.Module):
    """Channels weighed by what two small convolutions make of their means."""

    def __init__(self, *, linear: bool) -> None:
        super().__init__()
        layer: Callable[[int, int], nn.Module] = nn.Linear if linear else lambda a, b: nn.Conv2d(a, b, 1)
        self.reduce, self.expand, self.linear = layer(CHANNELS, 4), layer(4, CHANNELS), linear

    def forward(self, x: Tensor) -> Tensor:
        """The map, weighed."""
        means = x.mean((2, 3)) if self.linear else functional.adaptive_avg_pool2d(x, 1)
        weights = torch.sigmoid(self.expand(functional.relu(self.reduce(means))))
        return x * (weights[:, :, None, None] if self.linear else weights)


class Branches(nn.Module):
    """Halves of the channels through layers of their own, joined again."""

    def __init__(self, split: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.split = split
        self.first, self.second = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Ten channels."""
        left, right = self.split(x)
        return torch.cat([self.first(left), self.second(right)], 1)


def shuffled(x: Tensor) -> Tensor:
    """Channels dealt out of two groups, as networks write it."""
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def in_place(x: Tensor) -> Tensor:
    """A rectifier that changes what the addition reads."""
    y = x * 1.0
    functional.relu_(y)
    return x + y


class Numbers(nn.Module):
    """Arithmetic with trained numbers of some shape."""

    def __init__(self, shape: Sequence[int], compute: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.numbers, self.compute = nn.Parameter(torch.rand(*shape) + 0.5), compute

    def forward(self, x: Tensor) -> Tensor:
        """Of the input and the numbers."""
        return self.compute(x, self.numbers)


class Standardised(nn.Conv2d):
    """A convolution whose kernel is standardised each time that it is used."""

    def forward(self, x: Tensor) -> Tensor:
        """Six channels."""
        kernel = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        kernel = kernel / (self.weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return functional.conv2d(x, kernel, self.bias, padding=1)


class Residual(nn.Module):
    """A convolution that makes twelve channels of half the size, and what is done to its input joined to that."""

    def __init__(self, joined: Callable[[Tensor, Tensor], Tensor], outputs: int = 12, stride: int = 2) -> None:
        super().__init__()
        self.conv, self.joined = nn.Conv2d(CHANNELS, outputs, 3, stride, 1), joined

    def forward(self, x: Tensor) -> Tensor:
        """Whatever they give together."""
        return self.joined(self.conv(x), x)


class Again(nn.Module):
    """A convolution whose output is computed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Weighed by itself."""
        weights: Tensor = torch.sigmoid(self.conv(x).mean((2, 3), keepdim=True))
        return weights.mul(self.conv(x))


class MeansEverywhere(nn.Module):
    """Channels beside their means, which a convolution reads at every pixel: its padding tells them from one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * CHANNELS, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Six channels."""
        means = x.mean((2, 3), keepdim=True).expand_as(x)
        found: Tensor = self.conv(torch.cat([means, x], 1))
        return found


class Counting(nn.Module):
    """It notes in tensors of its own how often it was called and what it gave, as for plots, and shifts its input."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.Buffer(torch.zeros(1))
        self.mean = nn.Buffer(torch.zeros(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Shifted in place."""
        self.calls.add_(1)
        y = x.add_(0.25)
        self.mean.copy_(y.detach().mean((0, 2, 3)))
        return y


class Gated(nn.Module):
    """Several channels of every one, of which the first half is weighed by the second; what they are made of is divided
    elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1, groups=CHANNELS)
        self.mixed = nn.Conv2d(CHANNELS, 2 * CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """As many channels as come in."""
        first, others = torch.split(x, [3, CHANNELS - 3], 1)
        twice = self.twice(x) + self.mixed(torch.cat([others, first], 1))
        one, other = twice.chunk(2, 1)
        found: Tensor = one * torch.sigmoid(other)
        return found


def blurred(x: Tensor) -> Tensor:
    """Every second pixel of a map that was smoothed with a constant kernel."""
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16
    return functional.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), stride=2, padding=1, groups=x.shape[1])


def conv(*arguments: int, **options: object) -> nn.Module:
    """A convolution and a normalisation."""
    made = nn.Conv2d(*arguments, **options)  # type: ignore[arg-type]
    return nn.Sequential(made, nn.BatchNorm2d(made.out_channels), nn.ReLU())


WAYS: dict[str, Callable[[], nn.Module | Callable[[Tensor], Tensor]]] = {
    "nothing between": nn.Identity,
    "relu6": nn.ReLU6,
    "hard swish": nn.Hardswish,
    "hard swish as arithmetic": lambda: lambda x: x * functional.relu6(x + 3) / 6,
    "hard swish in another order": lambda: lambda x: functional.hardtanh(3 + x, 0, 6) * (x * (1 / 6)),
    "hard sigmoid": nn.Hardsigmoid,
    "hard sigmoid as arithmetic": lambda: lambda x: functional.relu6(x + 3) / 6,
    "silu": nn.SiLU,
    "silu as arithmetic": lambda: lambda x: x * torch.sigmoid(x),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "gelu as arithmetic": lambda: lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "tanh as arithmetic": lambda: lambda x: 2 * torch.sigmoid(2 * x) - 1,
    "leaky relu": lambda: nn.LeakyReLU(0.2),
    "elu": lambda: nn.ELU(0.5),
    "prelu for each channel": lambda: nn.PReLU(CHANNELS, 0.3),
    "prelu for all channels": lambda: nn.PReLU(1, 0.3),
    "prelu of a flattened map": lambda: nn.Sequential(nn.Flatten(), nn.PReLU(), nn.Linear(CHANNELS * 64, 6)),
    "clamp": lambda: lambda x: x.clamp(-0.5, 1),
    "clamp below": lambda: lambda x: x.clamp(min=-0.25),
    "clamp above": lambda: lambda x: x.clamp(max=0.25),
    "clamp below and above, one after the other": lambda: lambda x: x.clamp_min(-0.25).clamp_max(0.75),
    "clamp far away": lambda: lambda x: x.clamp(-40, 40),
    "relu in place": lambda: in_place,
    "notes of its own": Counting,
    "an activation of an activation": lambda: lambda x: torch.sigmoid(functional.leaky_relu(x, 0.1)),
    "times a number": lambda: lambda x: functional.max_pool2d(x, 2) * 0.3,
    "less than a number": lambda: lambda x: 1 - torch.sigmoid((x - 0.25) / 3),
    "a number before an activation": lambda: lambda x: functional.relu(0.25 - x),
    "silu of another slope": lambda: lambda x: x * torch.sigmoid(1.702 * x),
    "numbers for each channel": lambda: Numbers((1, CHANNELS, 1, 1), lambda x, c: functional.relu(x * c) - c),
    "numbers of a vector": lambda: Numbers((CHANNELS,), lambda x, c: c + x.mean((2, 3)) / c),
    "numbers that others read": lambda: Numbers(
        (CHANNELS, 1, 1), lambda x, c: torch.cat([c * x, torch.relu(c * x)], 1)
    ),
    "scaled convolution": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 6, 1, bias=False), Numbers((6, 1, 1), torch.mul), Numbers((6, 1, 1), torch.add)
    ),
    "scaled normalisation": lambda: nn.Sequential(
        nn.Conv2d(CHANNELS, 6, 1, bias=False), nn.BatchNorm2d(6), Numbers((6, 1, 1), torch.div), nn.ReLU()
    ),
    "scaled residual": lambda: Residual(lambda y, x: torch.add(x, y, alpha=0.2), CHANNELS, 1),
    "difference": lambda: Residual(lambda y, x: x - y, CHANNELS, 1),
    "standardised kernel": lambda: Standardised(CHANNELS, 6, 3),
    "constant kernel": lambda: blurred,
    "a layer that is called twice": Again,
    "every second pixel, and channels of zeros": lambda: Residual(
        lambda y, x: y + functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 3))
    ),
    "every third row": lambda: lambda x: functional.relu(x[:, :, ::3]) * 0.5,
    "zeros around and channels of zeros": lambda: lambda x: functional.pad(x, (1, 0, 0, 2, 2, 0)),
    "zeros on two sides, and on none": lambda: lambda x: functional.pad(functional.pad(x, (1, 2)), (0, 0, 0, 0, 0, 0)),
    "zeros around no image more": lambda: lambda x: functional.pad(x, (1, 0, 2, 0, 0, 0, 0, 0), value=0.0),
    "other floating-point numbers": lambda: lambda x: x.double().float(),
    "residual": lambda: lambda x: x + functional.relu(x),
    "twice itself": lambda: lambda x: x + x,
    "same padding": lambda: nn.Conv2d(CHANNELS, 6, 5, padding="same"),
    "an even kernel": lambda: nn.Conv2d(CHANNELS, 6, (2, 4), padding=(1, 2)),
    "dilation": lambda: conv(CHANNELS, 6, 3, padding=2, dilation=2),
    "groups": lambda: conv(CHANNELS, 12, 3, padding=1, groups=4),
    "depthwise": lambda: conv(CHANNELS, CHANNELS, 5, padding=2, stride=2, groups=CHANNELS),
    "depthwise with a multiplier": lambda: conv(CHANNELS, 3 * CHANNELS, 3, padding=1, groups=CHANNELS),
    "parts of a depthwise with a multiplier": Gated,
    "a bias before normalisation": lambda: conv(CHANNELS, 6, 1),
    "no bias": lambda: nn.Conv2d(CHANNELS, 6, 1, bias=False),
    "normalisation before convolution": lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 1)),
    "normalisation without weights": lambda: nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8, affine=False)),
    "padding apart": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 1, 2)), nn.Conv2d(CHANNELS, 6, 3)),
    "padding that others read": lambda: lambda x: functional.pad(x, (1, 1, 1, 1))[:, :, :, :] * 1.0,
    "adaptive means": lambda: nn.AdaptiveAvgPool2d((4, 2)),
    "adaptive maxima": lambda: nn.AdaptiveMaxPool2d((2, 8)),
    "adaptive means of a pixel each": lambda: nn.Sequential(nn.MaxPool2d((4, 8)), nn.AdaptiveAvgPool2d((6, 7))),
    "adaptive maxima of a pixel each": lambda: nn.Sequential(nn.MaxPool2d(4), nn.AdaptiveMaxPool2d(4)),
    "means of means of rows": lambda: lambda x: functional.relu(x).mean(3).mean(2),
    "greatest of means of columns": lambda: lambda x: functional.relu(x).mean(2).amax(2),
    "means of rows as a map": lambda: lambda x: functional.relu(x.mean(-1, keepdim=True)) * 0.3,
    "the only pixel": lambda: lambda x: functional.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
    "squeeze and excite": lambda: SqueezeExcite(linear=False),
    "squeeze and excite, linear": lambda: SqueezeExcite(linear=True),
    "chunk": lambda: Branches(lambda x: x.chunk(2, 1)),
    "split": lambda: Branches(lambda x: torch.split(x, [4, 4], 1)),
    "slices": lambda: Branches(lambda x: (x[:, :4], x[:, 4:])),
    "channel shuffle": lambda: shuffled,
    "channel shuffle as a module": lambda: nn.ChannelShuffle(2),
    "means at every pixel": MeansEverywhere,
    "channels last and back": lambda: lambda x: functional.relu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "max pool": lambda: nn.MaxPool2d(3, 2, 1),
    "max pool, rounded up": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "average pool": lambda: nn.AvgPool2d(3, 2, 1),
    "average pool of what is there": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "adaptive pool": lambda: nn.AdaptiveAvgPool2d(4),
    "adaptive pool and flatten": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()),
    "global max pool": lambda: lambda x: x.amax((2, 3)),
    "adaptive max pool": lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "mean of pixels along one axis": lambda: lambda x: x.flatten(2).mean(-1),
    "linear layers in the middle": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(CHANNELS * 64, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 6)
    ),
    "concatenation": lambda: lambda x: torch.cat([x, functional.relu(x), x], 1),
    "nearest up-sampling": lambda: nn.Upsample(scale_factor=2),
    "bilinear up-sampling": lambda: nn.Upsample(size=(12, 20), mode="bilinear"),
    "bilinear up-sampling, corners aligned": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
}
"""What ``Several`` has between its first layer and its last."""
