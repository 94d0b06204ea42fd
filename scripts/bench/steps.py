#!/usr/bin/env python3
"""What the parts of a training step gain that are ours: kept memory, padding written once, a folded teacher.

    steps.py --threads 1

Each is compared with what torch or glibc does by itself, as a ratio of times; above 1: ours is faster. ``kept_memory``:
a step of a network of half the width, in processes that take turns, since what the allocator was told stays told.
``padding``: a convolution with stride 2, there and back, for each shape that MobileNet-v1 has at 32 px, where torch
pads and then converts. ``teacher``: the answer of the largest network of EfficientNet-Lite0 at 96 px, where batch
normalisation takes the statistics of every batch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from training import CLASSES, TASK, random_images

from edgewidth.cli.main import ENVIRONMENT
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.operators import Depthwise
from edgewidth.graph.widths import total
from edgewidth.training.finetune import largest_as_teacher
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.loop.memory import keep_freed_memory
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.networks.layers import training_dtype
from edgewidth.training.networks.operators import compute, layer_dtype
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.recipes import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from edgewidth.data.batches import Batches
    from edgewidth.graph.space import SearchSpace
    from edgewidth.graph.spec import Layer

KEPT = "kept"
"""What ``--alone`` is told where memory is to be kept."""
TIMEOUT_S = 1800
CPU = torch.device("cpu")


def step_seconds(*, batch: int, steps: int) -> float:
    """The median step of a network of half the width, as a final training has it."""
    space, batches = _setting("mobilenet_v1", 32, batch)
    network, objective = PlainNetwork(space, space.uniform(0.5)), TASK.objective()
    optimiser = Optimiser(network, Phase(images=0, passes=1, learning_rate=0.05), batch=batch, steps=1000)

    def step() -> None:
        given = batches[0]
        target = objective.target(given.targets, smoothing=0.1)
        torch.autograd.backward(objective.loss(network(given.images), target))
        optimiser.step(0)

    return statistics.median([_seconds(step) for _ in range(steps + 3)][3:])


def kept_memory_ratio(*, rounds: int, batch: int, steps: int, threads: int) -> float:
    """Steps whose memory goes back to the system over such whose memory is kept."""
    command = [sys.executable, __file__, "--batch", str(batch), "--steps", str(steps), "--threads", str(threads)]
    ratios = []
    for _ in range(rounds):
        seconds = {}
        for how in (KEPT, "freed"):
            done = subprocess.run(
                [*command, "--alone", how], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
            )
            seconds[how] = float(done.stdout)
        ratios.append(seconds["freed"] / seconds[KEPT])
    return statistics.median(ratios)


def padding_ratios(*, batch: int, steps: int) -> dict[str, float]:
    """For each shape whose padding is uneven, there and back: torch's own way over ours."""
    space, _ = _setting("mobilenet_v1", 32, batch)
    widths, found = space.widths(space.largest), {}
    for layer in space.network.layers:
        operator = layer.operator
        shape = layer.reads[0]
        if isinstance(operator, Depthwise) and any(before != after for before, after in operator.pads(shape.size)):
            x = torch.randn(batch, total(shape.channels, widths), *shape.size, dtype=training_dtype(CPU))
            x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
            kernel = torch.randn(x.shape[1], 1, *operator.kernel, dtype=layer_dtype(layer, x.dtype), requires_grad=True)
            ways = (_torch_way(layer, x, kernel), lambda layer=layer, x=x, k=kernel: compute(layer, widths, x, k, None))
            name = "x".join(map(str, x.shape[1:]))
            found[f"padding_ratio_{name}"] = _ratio(*[_there_and_back(way, x, kernel) for way in ways], steps=steps)
    return found


def _torch_way(layer: Layer, x: Tensor, kernel: Tensor) -> Callable[[], Tensor]:
    operator = layer.operator
    assert isinstance(operator, Depthwise)  # noqa: S101 - for the type checker: the caller asked
    (top, bottom), (left, right) = operator.pads(x.shape[2:])

    def convolved() -> Tensor:
        padded = functional.pad(x, (left, right, top, bottom)).to(kernel.dtype)
        return functional.conv2d(padded, kernel, None, operator.stride, groups=x.shape[1])

    return convolved


def _there_and_back(way: Callable[[], Tensor], *leaves: Tensor) -> Callable[[], None]:
    gradient = torch.ones_like(way())

    def both() -> None:
        torch.autograd.grad(way(), leaves, gradient)

    return both


def teacher_ratio(*, steps: int) -> float:
    """A teacher that takes the statistics of every batch over one that is folded."""
    space, batches = _setting("efficientnet_lite0", 96, 32)
    supernet = Supernet(space)
    folded, images = largest_as_teacher(supernet, batches), batches[0].images

    @torch.no_grad()
    def answer(teacher: Callable[[Tensor], Tensor]) -> None:
        teacher(images)

    return _ratio(lambda: answer(lambda x: supernet(x, space.largest)), lambda: answer(folded), steps=steps)


def _setting(family: str, resolution: int, batch: int) -> tuple[SearchSpace, Batches]:
    space = search_space(family, resolution=resolution, in_channels=3, num_classes=CLASSES)
    phase = Phase(images=0, passes=1, batch=batch)
    return space, make_batches(random_images(resolution, 4 * batch), phase, seed=0, device=CPU)


def _ratio(theirs: Callable[[], None], ours: Callable[[], None], *, steps: int) -> float:
    """Of two that take turns, so that what disturbs the machine disturbs both; the first turns are a warm-up."""
    pairs = [(_seconds(theirs), _seconds(ours)) for _ in range(steps + 3)][3:]
    return statistics.median(one / other for one, other in pairs)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40, help="of each that is compared")
    parser.add_argument("--rounds", type=int, default=3, help="how often the processes take turns")
    parser.add_argument("--alone", choices=(KEPT, "freed"), help="only the seconds of a step, memory kept or not")
    options = parser.parse_args()
    for name, value in ENVIRONMENT.items():  # as for a user's training
        os.environ.setdefault(name, value)
    torch.set_num_threads(options.threads)
    if options.alone:
        if options.alone == KEPT:
            keep_freed_memory()
        print(step_seconds(batch=options.batch, steps=options.steps))
        return
    sizes = {"batch": options.batch, "steps": options.steps}
    memory = kept_memory_ratio(rounds=options.rounds, threads=options.threads, **sizes)
    keep_freed_memory()
    found = {
        "kept_memory_ratio": memory,
        **padding_ratios(**sizes),
        "teacher_ratio": teacher_ratio(steps=options.steps),
    }
    result = {"threads": options.threads, "batch": options.batch} | {name: round(one, 3) for name, one in found.items()}
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
