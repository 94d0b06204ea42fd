"""How much faster a supernet step is than the reference method's, which masks full-width tensors.

Both train the same network on the same batches with three passes a step: the maximum configuration, the minimum
and a random one. Steps of the two alternate within one process, so that what disturbs the machine disturbs both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.network.families import search_space
from edgewidth.training.batches import Batch
from edgewidth.training.layers import training_dtype
from edgewidth.training.optimise import Optimiser
from edgewidth.training.recipes import Phase
from edgewidth.training.supernet import Supernet
from edgewidth.training.train import Sandwich, sandwich_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.records.network import ChannelConfig, SearchSpace

CLASSES = 10


class MaskedLayer(nn.Module):
    """A convolution at full width whose superfluous channels are set to zero, as the reference code does it."""

    def __init__(self, in_width: int, out_width: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """X (n, in, height, width) and mask (1, out, 1, 1) → (n, out, height', width')."""
        return functional.relu6(self.norm(self.conv(x))) * mask


class MaskedNetwork(nn.Module):
    """A MobileNet-v1 whose configurations are masks."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        widest = space.widths(space.largest)
        self.widths: list[str] = []
        layers = []
        for shape in space.network.shapes[:-2]:
            in_width, out_width = (w if isinstance(w, int) else widest[w] for w in (shape.in_width, shape.out_width))
            groups = in_width if shape.layer.op == "depthwise" else 1
            layers.append(MaskedLayer(in_width, out_width, shape.layer.kernel, shape.layer.stride, groups))
            self.widths.append(str(shape.out_width))
        self.layers = nn.ModuleList(layers)
        self.dense = nn.Linear(widest[self.widths[-1]], CLASSES)

    def forward(self, x: Tensor, config: ChannelConfig) -> Tensor:
        """Normalised images (n, channels, height, width) → logits (n, classes)."""
        widths, widest = self.space.widths(config), self.space.widths(self.space.largest)
        masks = {name: (torch.arange(widest[name]) < widths[name]).float()[None, :, None, None] for name in widths}
        for name, layer in zip(self.widths, self.layers, strict=True):
            x = layer(x, masks[name])
        logits: Tensor = self.dense(x.mean((2, 3)))
        return logits


def masked_step(space: SearchSpace) -> Callable[[Batch, ChannelConfig], None]:
    """The reference's step."""
    network = MaskedNetwork(space)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5)

    def step(batch: Batch, config: ChannelConfig) -> None:
        optimiser.zero_grad()
        logits = network(batch.images, space.largest)
        torch.autograd.backward(functional.cross_entropy(logits, batch.labels))
        target = torch.softmax(logits.detach(), 1)
        for other in (space.smallest, config):
            torch.autograd.backward(functional.cross_entropy(network(batch.images, other), target))
        optimiser.step()

    return step


def sliced_step(space: SearchSpace) -> Callable[[Batch, ChannelConfig], None]:
    """Our step, all of it."""
    supernet = Supernet(space)
    optimiser = Optimiser(supernet, Phase(images=0, passes=1, learning_rate=0.05), batch=64, steps=1000)

    def step(batch: Batch, config: ChannelConfig) -> None:
        sandwich_step(supernet, batch, Sandwich(space.largest, (config,), space.smallest))
        optimiser.step(0)

    return step


class Comparison(NamedTuple):
    """Images per second of the two methods, and the median of the ratios of neighbouring steps."""

    masked: float
    sliced: float
    ratio: float


def compare(resolution: int, *, batch: int, steps: int, dtype: torch.dtype) -> Comparison:
    """Alternate steps of the two methods on random images; the first pair is a warm-up."""
    space = search_space("mobilenet_v1", resolution=resolution, in_channels=3, num_classes=CLASSES)
    rng = np.random.default_rng(0)
    methods = (masked_step(space), sliced_step(space))
    images = torch.rand(batch, 3, resolution, resolution).mul(2).sub(1)
    labels = torch.arange(batch) % CLASSES
    batches = Batch(images, labels), Batch(images.contiguous(memory_format=torch.channels_last).to(dtype), labels)
    seconds: list[tuple[float, float]] = []
    for _ in range(steps + 1):
        config = space.sample(rng)
        seconds.append((_timed(methods[0], batches[0], config), _timed(methods[1], batches[1], config)))
    masked, sliced = zip(*seconds[1:], strict=True)
    # Random configurations differ in cost, so the ratio is that of the sums.
    return Comparison(
        batch / statistics.median(masked), batch / statistics.median(sliced), float(sum(masked) / sum(sliced))
    )


def _timed(step: Callable[[Batch, ChannelConfig], None], batch: Batch, config: ChannelConfig) -> float:
    began = time.perf_counter()
    step(batch, config)
    return time.perf_counter() - began


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12, help="steps of each method at each resolution")
    options = parser.parse_args()
    dtype = training_dtype(torch.device("cpu"))
    result: dict[str, float | str] = {
        "threads": torch.get_num_threads(),
        "batch": options.batch,
        "dtype": str(dtype).removeprefix("torch."),
    }
    for resolution in (32, 96):
        # The same once more without reduced precision, to tell what slices and layout gain from what it gains.
        for name, used in {"": dtype, "_float32": torch.float32}.items():
            found = compare(resolution, batch=options.batch, steps=options.steps, dtype=used)
            result |= {
                f"ratio_{resolution}px{name}": round(found.ratio, 3),
                f"masked_{resolution}px{name}_images_per_s": round(found.masked, 1),
                f"sliced_{resolution}px{name}_images_per_s": round(found.sliced, 1),
            }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
