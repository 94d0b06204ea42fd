"""A task that nobody planned needs one class: a regression is trained, searched and scored as classification is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
import torch
from small_training import RESOLUTION, small_recipe, small_space, supernet_files

from edgewidth.data.augmentation import Augmentation
from edgewidth.data.sources import Split
from edgewidth.data.split import ImageData
from edgewidth.graph.space import ChannelConfig
from edgewidth.stages.folder import RunFolder
from edgewidth.tasks.task import FileText
from edgewidth.training.evaluation import evaluate_losses
from edgewidth.training.finetune import finetune_network
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.tasks.task import Objective, Outputs, Targets


class SquaredError:
    """An ``Objective``: targets are numbers (n, outputs), and the same for every variation of an image."""

    def losses(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs - target).square().mean(1)

    def loss(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.losses(outputs, target).mean()

    def target(self, targets: torch.Tensor, *, smoothing: float) -> torch.Tensor:
        del smoothing
        return targets

    def taught(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs

    def blended(self, first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
        return torch.lerp(first, second, share)

    def moved(self, targets: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> torch.Tensor:
        del rows, columns
        return targets


@dataclass(frozen=True)
class Regression:
    """A ``Task``: outputs and targets are numbers (n, outputs)."""

    output_names: tuple[str, ...]
    name: ClassVar = "regression"
    metric: ClassVar = "explained variance"
    companion_names: ClassVar[tuple[str, ...]] = ()
    text: ClassVar = FileText(model="Regression", output="The numbers.", output_names="Their names.")
    chance_loss: ClassVar = 1.0

    def score(self, outputs: Outputs, targets: Targets) -> float:
        return float(100 * (1 - np.square(outputs - targets).mean() / targets.var()))

    def agreement(self, outputs: Outputs, others: Outputs) -> float:
        return float(100 * np.isclose(outputs, others, atol=0.1).mean())

    def interval(self, score: float, examples: int) -> tuple[float, float]:
        del examples
        return score, score

    def check(self, source: str) -> None:
        del source

    def untested(self, targets: Targets) -> tuple[str, ...]:
        """None: every number is told of every image."""
        del targets
        return ()

    def strata(self, targets: Targets) -> NDArray[np.int64]:
        return np.zeros(len(targets), np.int64)

    def companions(self) -> dict[str, bytes]:
        return {}

    def result(self, score: float) -> str:
        return f"explains {score:.2f} % of the variance of the test images"

    def summary(self) -> str:
        return f"{len(self.output_names)} numbers"

    def objective(self) -> Objective:
        return SquaredError()


def _split(count: int, rng: np.random.Generator) -> Split:
    """Images with stripes; their targets are how bright and how strong the stripes are, both from -1 to 1.

    Either rows of even numbers are the bright ones or the others: moved by a pixel, an image is one of the same kind.
    """
    targets = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    stripes = np.where(np.arange(RESOLUTION) % 2, 1.0, -1.0)[:, None, None] * rng.choice([-1, 1], (count, 1, 1, 1))
    brightness, strength = targets[:, 0, None, None, None], targets[:, 1, None, None, None]
    images = 128 + 60 * brightness + 30 * (1 + strength) * stripes + rng.normal(0, 3, (count, 1, RESOLUTION, 1))
    return Split(images.astype(np.uint8), targets)


def _data() -> ImageData:
    rng = np.random.default_rng(0)
    train, search, holdout, test = (_split(count, rng) for count in (256, 60, 60, 60))
    return ImageData(train, search, holdout, test, Regression(("brightness", "strength")), "r" * 16, "test")


def test_a_regression_is_trained_and_searched(tmp_path: Path) -> None:
    """The supernet, its losses and the chosen network learn numbers through the protocol alone."""
    space, data, folder = small_space(num_classes=2), _data(), RunFolder(tmp_path)
    recipe = small_recipe(passes=20, learning_rate=0.4)
    mixed = replace(recipe.supernet, distillation=0.3, augmentation=Augmentation(shift=0.1, mixup=0.2))
    recipe = replace(recipe, finetune=mixed)
    train_supernet(space, data, recipe, seed=0, **supernet_files(folder))
    losses = evaluate_losses(space, data, supernet=folder.supernet, evaluations=folder.evaluations, seed=0, most=8)
    assert losses.class_names == ("brightness", "strength")
    # A network that always answers with the mean has the targets' variance as its loss: a third.
    assert losses.max_loss < 0.1
    network = finetune_network(
        space,
        ChannelConfig((8, 12)),
        data,
        recipe,
        supernet=folder.supernet,
        weights_out=folder.weights,
        log=folder.finetune_log,
        checkpoints=folder.checkpoints,
        seed=0,
    )
    score = data.task.score(network_outputs(network, data.test.images), data.test.targets)
    assert score == pytest.approx(100, abs=15)
    assert data.task.result(score).startswith("explains")
