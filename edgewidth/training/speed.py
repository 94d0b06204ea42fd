"""How fast networks of a search space are trained here, from about a second of trying it.

A pass of a batch, there and back, takes a time of its own and a time for every multiply-accumulate. Both follow from
the smallest and the largest configuration: an estimate that is good for knowing whether to wait or to come back.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from edgewidth.data.batches import FEWEST_IMAGES
from edgewidth.graph.costs import costs
from edgewidth.training.loop.loop import make_batches
from edgewidth.training.networks.layers import compute_device
from edgewidth.training.networks.supernet import Supernet

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.training.recipes import Phase

TRYING_S = 1.5
"""How long it is tried: no pass begins later, nor where the one before took longer than what is left."""
LONGEST_S = 2.0
"""So long it is waited for."""
GROWTH = 4
"""By how much the images of one try exceed those of the try before."""


class Speed(NamedTuple):
    """What training costs, in seconds: ``pass_s`` for a pass of any batch, ``mac_s`` for a multiply-accumulate in it.

    Multiply-accumulates are counted forward alone; ``mac_s`` is for there and back.
    """

    pass_s: float
    mac_s: float

    def seconds(self, passes: float, macs: float) -> float:
        """So many passes of batches, in which there are so many multiply-accumulates altogether."""
        return passes * self.pass_s + macs * self.mac_s


def measure_speed(space: SearchSpace, data: ImageData, phase: Phase) -> Speed | None:
    """Train the smallest and the largest configuration of a supernet that nobody keeps, on a batch of a phase.

    None: it took too long, or failed; what fails here fails in training as well, and is told there.
    """
    found: list[Speed] = []
    given_up = threading.Event()

    def measure() -> None:
        with contextlib.suppress(RuntimeError, MemoryError, _GivenUpError):
            found.extend(_measured(space, data, phase, given_up))

    # A pass cannot be broken off: one that takes too long ends while nobody waits for it any more, but for Python's own
    # end. A daemon would be torn out of torch there, which ends the process with SIGABRT.
    thread = threading.Thread(target=measure)
    try:
        thread.start()
        thread.join(LONGEST_S)
    finally:
        given_up.set()
    return found[-1] if found else None


class _GivenUpError(Exception):
    """Nobody waits for what is tried."""


def _measured(space: SearchSpace, data: ImageData, phase: Phase, given_up: threading.Event) -> Iterator[Speed]:
    device = compute_device()
    supernet, objective = Supernet(space).to(device), data.task.objective()
    batch = make_batches(data, phase, seed=0, device=device)[0]

    def seconds(config: ChannelConfig, images: int) -> float:
        if given_up.is_set():
            raise _GivenUpError
        began = time.monotonic()
        loss = objective.loss(supernet(batch.images[:images], config), batch.targets[:images])
        torch.autograd.backward(loss)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic() - began

    return speeds(seconds, space, len(batch.images))


def speeds(seconds: Callable[[ChannelConfig, int], float], space: SearchSpace, most: int) -> Iterator[Speed]:
    """Ever better speeds, by what ``seconds`` tells of a pass of some images; it gets ``most`` images at most.

    Nothing is told of the first few images, nor of the first pass of so many: these take longer than passes do in
    training, on a busy machine many times as long.
    """
    small, large = (costs(space, config).macs for config in (space.smallest, space.largest))
    until, images = time.monotonic() + TRYING_S, min(FEWEST_IMAGES, most)
    took_s = seconds(space.smallest, images) + seconds(space.largest, images)
    images, is_first, fastest = min(GROWTH * images, most), True, (math.inf, math.inf)
    while time.monotonic() + took_s <= until:
        passes = seconds(space.smallest, images), seconds(space.largest, images)
        took_s = sum(passes)
        if is_first:
            is_first = False
            continue
        fastest = small_s, large_s = min(passes[0], fastest[0]), min(passes[1], fastest[1])
        mac_s = max(large_s - small_s, 0.0) / (images * (large - small))
        yield Speed(max(small_s - images * small * mac_s, 0.0), mac_s)
        if images < most:
            images, is_first, fastest = min(GROWTH * images, most), True, (math.inf, math.inf)
