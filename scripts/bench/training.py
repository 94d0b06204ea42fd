"""How much faster a supernet step is than the reference method's, which masks full-width tensors.

Both train the same network on the same batches with three passes a step: the maximum configuration, the minimum
and a random one. Steps of the two alternate within one process, so that what disturbs the machine disturbs both.

With ``--processes N``: how much faster N processes of one thread each train than one process with one thread, on the
same batches. They start under torchrun; steps of all together and of the first alone alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewidth.cli.main import ENVIRONMENT
from edgewidth.data.batches import Batch
from edgewidth.data.sources import Split
from edgewidth.data.split import ImageData
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import Conv, Depthwise
from edgewidth.graph.widths import total, variables_of
from edgewidth.tasks.classification.task import Classification
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.loop.processes import ALONE, are_several, join
from edgewidth.training.networks.layers import training_dtype
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.recipes import Phase
from edgewidth.training.train import RANDOM_CONFIGS, Sandwich, sandwich_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.training.loop.processes import Processes

CLASSES = 10
TASK = Classification(tuple(map(str, range(CLASSES))))


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
        for layer in space.network.layers[:-2]:
            in_width, out_width = (total(shape.channels, widest) for shape in (layer.reads[0], layer.output))
            operator = layer.operator
            if not isinstance(operator, Conv | Depthwise):
                raise TypeError("before its head MobileNet-v1 has convolutions alone")
            groups = 1 if operator.mixes else in_width
            layers.append(MaskedLayer(in_width, out_width, operator.kernel[0], operator.stride[0], groups))
            self.widths.extend(variables_of(layer.output.channels))
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
        torch.autograd.backward(functional.cross_entropy(logits, batch.targets))
        target = torch.softmax(logits.detach(), 1)
        for other in (space.smallest, config):
            torch.autograd.backward(functional.cross_entropy(network(batch.images, other), target))
        optimiser.step()

    return step


def sliced_step(space: SearchSpace) -> Callable[[Batch, ChannelConfig], None]:
    """Our step, all of it."""
    supernet, objective = Supernet(space), TASK.objective()
    optimiser = Optimiser(supernet, Phase(images=0, passes=1, learning_rate=0.05), batch=64, steps=1000)

    def step(batch: Batch, config: ChannelConfig) -> None:
        sandwich_step(supernet, objective, batch, Sandwich(space.largest, (config,), space.smallest))
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


class Trainer:
    """A supernet in training as the product trains it, batches and all; one step at a time."""

    def __init__(self, resolution: int, *, batch: int, processes: Processes = ALONE) -> None:
        self._space = search_space("mobilenet_v1", resolution=resolution, in_channels=3, num_classes=CLASSES)
        self._processes = processes
        phase = Phase(images=0, passes=1, batch=batch)
        self._supernet = Supernet(self._space)
        data = random_images(resolution, 4 * batch)
        self._objective = data.task.objective()
        self._batches = make_batches(data, phase, seed=0, device=torch.device("cpu"), processes=processes)
        self._optimiser = Optimiser(self._supernet, phase, batch=batch, steps=1000)

    def step(self, index: int) -> tuple[float, float]:
        """Seconds to make the batch, and for all of the step."""
        rng = np.random.default_rng(index)
        others = tuple(self._space.sample(rng) for _ in range(RANDOM_CONFIGS))
        sandwich = Sandwich(self._space.largest, others, None if index % 4 else self._space.smallest)
        began = time.perf_counter()
        batch = self._batches[index]
        made = time.perf_counter()
        sandwich_step(self._supernet, self._objective, batch, sandwich, self._processes)
        self._processes.average(self._optimiser.gradients)
        self._optimiser.step(index)
        return made - began, time.perf_counter() - began


def random_images(resolution: int, count: int) -> ImageData:
    """Colour images of nothing."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, resolution, resolution, 3)).astype(np.uint8)
    labels = (np.arange(count) % CLASSES).astype(np.int64)
    split = Split(images, labels)
    return ImageData(split, split, split, split, TASK, fingerprint="", source="random")


def batches_percent(resolution: int, *, batch: int, steps: int) -> float:
    """Of the time of training, what making batches takes."""
    trainer = Trainer(resolution, batch=batch)
    made, whole = np.array([trainer.step(index) for index in range(steps + 1)])[1:].sum(0)
    return float(100 * made / whole)


def scaling(*, batch: int, steps: int) -> dict[str, float]:
    """Images per second of all processes together and of the first alone; called by all of them."""
    processes = join()
    together, alone = Trainer(32, batch=batch, processes=processes), Trainer(32, batch=batch)
    seconds: list[tuple[float, float]] = []
    # Once to compile the convolutions of these widths, which a long training has done after a few hundred steps.
    for index in (*range(steps), *range(steps)):
        processes.wait()
        both = together.step(index)[1]
        processes.wait()
        seconds.append((both, alone.step(index)[1] if processes.is_first else 0.0))
    several, one = np.array(seconds[steps:]).T
    return {
        "processes": processes.count,
        "threads_each": torch.get_num_threads(),
        "batch": batch,
        "together_images_per_s": round(batch / statistics.median(several), 1),
        "alone_images_per_s": round(batch / statistics.median(one), 1) if processes.is_first else 0.0,
        "scaling": round(float(one.sum() / several.sum()), 3),
    }


def start(processes: int) -> int:
    """This script again, under torchrun, with one thread for each process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *sys.argv], env=environment, check=False, timeout=3600).returncode


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12, help="steps of each method at each resolution")
    parser.add_argument("--processes", type=int, default=1, help="how well as many train together")
    options = parser.parse_args()
    for name, value in ENVIRONMENT.items():  # as for a user's training
        os.environ.setdefault(name, value)
    if options.processes > 1 and not are_several():
        sys.exit(start(options.processes))
    if are_several():
        result: dict[str, float | str] = dict(scaling(batch=options.batch, steps=options.steps))
    else:
        result = ratios(batch=options.batch, steps=options.steps)
    if join().is_first:
        print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


def ratios(*, batch: int, steps: int) -> dict[str, float | str]:
    """Both methods at both resolutions, and what making batches takes of the time of ours."""
    dtype = training_dtype(torch.device("cpu"))
    result: dict[str, float | str] = {
        "threads": torch.get_num_threads(),
        "batch": batch,
        "dtype": str(dtype).removeprefix("torch."),
    }
    for resolution in (32, 96):
        result[f"batches_{resolution}px_percent"] = round(batches_percent(resolution, batch=batch, steps=steps), 2)
        # The same once more without reduced precision, to tell what slices and layout gain from what it gains.
        for name, used in {"": dtype, "_float32": torch.float32}.items():
            found = compare(resolution, batch=batch, steps=steps, dtype=used)
            result |= {
                f"ratio_{resolution}px{name}": round(found.ratio, 3),
                f"masked_{resolution}px{name}_images_per_s": round(found.masked, 1),
                f"sliced_{resolution}px{name}_images_per_s": round(found.sliced, 1),
            }
    return result


if __name__ == "__main__":
    main()
