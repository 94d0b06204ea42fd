"""Recipes: everything about training that one might want to turn, as values.

A phase's length is given in images, ``images + passes × (training images)``: small data sets need many passes
before a network has seen enough batches, large ones few.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from edgewidth.data.augmentation import Augmentation
from edgewidth.errors import InputError


@dataclass(frozen=True)
class Phase:
    """One training, of the supernet or of the chosen network: stochastic gradient descent, Nesterov momentum.

    The learning rate is for batches of 256 and scales with the batch (Goyal et al. 2017, arXiv 1706.02677); it
    rises over ``warmup`` of all steps and falls along half a cosine. Weight decay leaves normalisation and biases
    alone; weights before normalisation turn the faster the more they decay (van Laarhoven 2017, arXiv 1706.05350).
    ``averaging`` is the share of all steps over which the final weights are averaged; 0: none. ``distillation`` is the
    weight of a teacher's output beside the labels: the supernet's maximum network, and in training for int8 the network
    itself in float32. The supernet's own phase distils in any case.
    """

    images: int
    passes: int
    batch: int = 32
    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.1
    clip_norm: float = 5.0
    label_smoothing: float = 0.0
    averaging: float = 0.0
    distillation: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def epochs(self, train_images: int) -> int:
        """How often every training image is used."""
        return max(1, round((self.images + self.passes * train_images) / train_images))


class Phases(NamedTuple):
    """The trainings of a run."""

    supernet: Phase
    finetune: Phase


@dataclass(frozen=True)
class FromTrained:
    """The phases of a training that begins with trained weights, which are worth more than any phase can teach.

    First comes ``adapt``: the whole network as it is learns the images and their classes, so that channels can be put
    in order by what they matter to these. Then the supernet is trained, which ends with narrow networks and does not
    begin with them: until the share ``widened_at`` of its training is over, no width is drawn below ``first_share`` of
    what it was, unless widths narrow about a budget, and the minimum configuration is never trained by itself. Channels
    are ordered by what they matter on ``importance_batches`` batches.

    Learning rates are far below those for random weights: at these the first steps would undo what was given.

    The final training is the longest, and in ``standard`` half of what it learns is the output of the supernet's
    maximum network. A third of the latency of EfficientNet-Lite0, on 4,500 images of CIFAR-10 at 96 px, came to 77.8 %
    after eight passes at a learning rate of 0.1, 78.6 % after twenty, 78.9 % at 0.16, and 79.6 % with that teacher;
    begun with the given network cut to the same widths to 76.3 % after twenty passes at 0.1, and 77.3 % at 0.16.
    """

    adapt: Phase = Phase(images=4_000, passes=1, learning_rate=0.16)
    supernet: Phase = Phase(images=16_000, passes=6, batch=64, learning_rate=0.24)
    finetune: Phase = Phase(
        images=16_000, passes=14, learning_rate=0.16, label_smoothing=0.1, averaging=0.05, distillation=0.5
    )
    importance_batches: int = 16
    first_share: float = 0.5
    widened_at: float = 0.5

    @property
    def before_choice(self) -> tuple[object, ...]:
        """All values that the supernet depends on."""
        return self.adapt, self.supernet, self.importance_batches, self.first_share, self.widened_at

    def scaled(self, share: float) -> FromTrained:
        """The same at a share of all learning rates."""
        adapt, supernet, finetune = (
            replace(phase, learning_rate=phase.learning_rate * share)
            for phase in (self.adapt, self.supernet, self.finetune)
        )
        return replace(self, adapt=adapt, supernet=supernet, finetune=finetune)


@dataclass(frozen=True)
class Recipe:
    """How a supernet is trained, how many configurations are evaluated at most, and how the chosen network is trained.

    The supernet's batches are of 64 images and more, and it has some hundred steps however few images there are. On a
    thousand digits the random configurations of batches of 64 began to learn after a hundred steps, when the maximum
    network had almost done; those of batches of 32, of which each sees 16 images, had learned little after 400.

    A training of a few thousand steps from random weights needs a strong ``weight_decay``: MobileNet-v1 of half its
    widths, trained for nine passes over 45,000 images of CIFAR-10 at 32 px, came to 67.1 % on 5,000 others with 1e-4,
    74.2 % with 5e-4 and 74.3 % with 1e-3. Longer trainings, and those of trained weights, were not tried with more.

    ``minimum_every``: in how many steps the minimum configuration is trained once. Trained at every step it is
    overtrained, and ties networks several times its size.

    ``trained``: the phases where training begins with trained weights.
    """

    name: str
    supernet: Phase
    finetune: Phase
    evaluations: int
    minimum_every: int = 4
    trained: FromTrained = FromTrained()

    def phases(self, *, trained: bool) -> Phases:
        """How long and how fast a supernet and the chosen network are trained, from trained weights or random ones."""
        some = self.trained if trained else self
        return Phases(some.supernet, some.finetune)

    def at(self, learning_rate: float) -> Recipe:
        """The same at another learning rate, which its name then tells; with trained weights the same share of it."""
        changed = replace(
            self,
            supernet=replace(self.supernet, learning_rate=learning_rate),
            finetune=replace(self.finetune, learning_rate=learning_rate),
            trained=self.trained.scaled(learning_rate / self.supernet.learning_rate),
        )
        # That of the recipe itself makes no other recipe of it.
        return self if changed == self else replace(changed, name=f"{self.name} at a learning rate of {learning_rate}")

    @property
    def int8(self) -> Phase:
        """How the chosen network is trained on where quantisation alone costs too much accuracy.

        At a hundredth of the final training's learning rate, since with its statistics fixed a network bears no more,
        and for less than half as long. Half of what it learns from is its own output in float32.
        """
        last = self.finetune
        return replace(
            last,
            images=last.images // 2,
            passes=last.passes // 4,
            learning_rate=last.learning_rate / 100,
            distillation=0.5,
            augmentation=replace(last.augmentation, mixup=0.0),
        )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="quick",
            supernet=Phase(images=16_000, passes=1, batch=64, weight_decay=5e-4),
            finetune=Phase(images=8_000, passes=3, weight_decay=5e-4, label_smoothing=0.1, averaging=0.05),
            evaluations=72,
            trained=FromTrained(
                adapt=Phase(images=2_000, passes=1, learning_rate=0.16),
                supernet=Phase(images=8_000, passes=2, batch=64, learning_rate=0.24),
                finetune=Phase(images=4_000, passes=2, learning_rate=0.1, label_smoothing=0.1, averaging=0.05),
            ),
        ),
        Recipe(
            name="standard",
            supernet=Phase(images=24_000, passes=2, batch=64, weight_decay=5e-4),
            finetune=Phase(images=16_000, passes=14, batch=64, weight_decay=5e-4, label_smoothing=0.1, averaging=0.05),
            evaluations=120,
        ),
        Recipe(
            name="paper",
            supernet=Phase(images=40_000, passes=20, batch=128),
            finetune=Phase(
                images=60_000,
                passes=200,
                batch=128,
                label_smoothing=0.1,
                averaging=0.02,
                augmentation=Augmentation(mixup=0.2),
            ),
            evaluations=400,
            trained=FromTrained(
                adapt=Phase(images=8_000, passes=2, learning_rate=0.16),
                supernet=Phase(images=40_000, passes=20, batch=64, learning_rate=0.24),
                finetune=Phase(images=30_000, passes=40, learning_rate=0.1, label_smoothing=0.1, averaging=0.02),
            ),
        ),
    )
}
"""``quick`` to see the whole path; ``standard``, the default; ``paper``, the lengths of AOWS."""


def load_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        InputError: There is none.
    """
    if name not in RECIPES:
        raise InputError(f"Unknown recipe {name!r}.", remedy=f"Known recipes: {', '.join(RECIPES)}.")
    return RECIPES[name]
