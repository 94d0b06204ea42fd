"""A network with a shared width, and easy images, small enough to train in a second."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from edgewidth.data.augmentation import Augmentation
from edgewidth.data.sources import Split
from edgewidth.data.split import ImageData
from edgewidth.graph.operators import Add, Conv, Dense, Depthwise, GlobalAveragePool
from edgewidth.graph.space import SearchSpace, WidthVariable
from edgewidth.graph.spec import INPUT, NetworkSpec, Node
from edgewidth.tasks.classification.task import Classification
from edgewidth.training.recipes import FromTrained, Phase, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.stages.folder import RunFolder

RESOLUTION = 9
"""Odd, so that SAME padding at stride 2 is tried on both kinds of sizes: 9 → 5 → 3."""


def small_space(*, num_classes: int = 3, in_channels: int = 1) -> SearchSpace:
    """Two variables; the first is shared by the two sides of a residual connection."""
    nodes = (
        Node(name="stem", operator=Conv(width="a", kernel=3, stride=2, activation="relu6"), inputs=(INPUT,)),
        Node(name="inner", operator=Conv(width="b", activation="relu6"), inputs=("stem",)),
        Node(name="spatial", operator=Depthwise(kernel=3, activation="relu6"), inputs=("inner",)),
        Node(name="outer", operator=Conv(width="a"), inputs=("spatial",)),
        Node(name="sum", operator=Add(), inputs=("stem", "outer")),
        Node(name="down", operator=Depthwise(kernel=3, stride=2, activation="relu6"), inputs=("sum",)),
        Node(name="pool", operator=GlobalAveragePool(), inputs=("down",)),
        Node(name="logits", operator=Dense(width=num_classes), inputs=("pool",)),
    )
    network = NetworkSpec(family="small", resolution=RESOLUTION, in_channels=in_channels, nodes=nodes)
    variables = (
        WidthVariable(name="a", base=8, choices=(4, 8, 12)),
        WidthVariable(name="b", base=16, choices=(4, 8, 12, 16)),
    )
    return SearchSpace(network=network, variables=variables)


def striped_images(
    count: int, rng: np.random.Generator, num_classes: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a bright row, column or diagonal, by class."""
    labels = np.arange(count) % num_classes
    images = rng.integers(0, 60, (count, RESOLUTION, RESOLUTION, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(2, RESOLUTION - 2)
        if label == 0:
            image[place] = 250
        elif label == 1:
            image[:, place] = 250
        else:
            image[np.arange(RESOLUTION), np.arange(RESOLUTION)] = 250
    return images, labels.astype(np.int64)


def small_data(train: int = 128) -> ImageData:
    """Easy images of three classes."""
    rng = np.random.default_rng(0)
    train_split, search, holdout, test = (Split(*striped_images(count, rng)) for count in (train, 60, 60, 60))
    task = Classification(("row", "column", "diagonal"))
    return ImageData(train_split, search, holdout, test, task, fingerprint="f" * 16, source="test")


def small_recipe(**supernet: float) -> Recipe:
    """A second of training."""
    still = Augmentation(shift=0.0)
    phase = Phase(images=0, passes=5, batch=32, learning_rate=1.0, augmentation=still)
    return Recipe(
        name="test",
        supernet=Phase(**(vars(phase) | supernet)),
        finetune=Phase(**(vars(phase) | {"averaging": 0.2, "label_smoothing": 0.1})),
        evaluations=10,
        trained=FromTrained(
            adapt=Phase(**(vars(phase) | {"passes": 2})), supernet=Phase(**(vars(phase) | supernet)), finetune=phase
        ),
    )


class SupernetFiles(TypedDict):
    """Where ``train_supernet`` puts things."""

    supernet_out: Path
    log: Path
    trained_out: Path
    trained_log: Path
    checkpoints: Path


def supernet_files(folder: RunFolder) -> SupernetFiles:
    """As ``edgewidth train`` puts them into a run folder."""
    return {
        "supernet_out": folder.supernet,
        "log": folder.training_log,
        "trained_out": folder.trained,
        "trained_log": folder.trained_log,
        "checkpoints": folder.checkpoints,
    }


class Killed(BaseException):
    """As a signal does it: nothing catches it."""


class KillAfter:
    """A ``Progress`` that kills the work after so many steps, and knows what was said."""

    def __init__(self, steps: float = math.inf) -> None:
        self._left = steps
        self.said: list[str] = []

    @property
    def goes_on_from(self) -> int:
        """The step from which a checkpoint was taken up; 0: none was."""
        found = [re.search(r"goes on from step (\d+) of", text) for text in self.said]
        return max((int(match[1]) for match in found if match), default=0)

    @contextmanager
    def task(self, title: str, total: float | None = None) -> Iterator[KillAfter]:
        del title, total
        yield self

    def advance(self, steps: float = 1) -> None:
        self._left -= steps
        if self._left < 0:
            raise Killed

    def total(self, total: float) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)
