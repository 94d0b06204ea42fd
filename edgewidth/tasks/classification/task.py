"""What classification is, without any framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from edgewidth.errors import DataError
from edgewidth.records.artifact import LABELS
from edgewidth.tasks.task import FileText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.tasks.task import Objective, Outputs, Targets


@dataclass(frozen=True)
class Classification:
    """A ``Task``: outputs are logits (n, classes), targets are labels (n,), indices of the ``output_names``."""

    output_names: tuple[str, ...]
    """The class names."""

    name: ClassVar = "classification"
    metric: ClassVar = "top-1"
    companion_names: ClassVar[tuple[str, ...]] = (LABELS,)
    text: ClassVar = FileText(
        model="Image classifier",
        output="One logit a class; softmax makes probabilities of them.",
        output_names="The class names.",
    )

    @property
    def chance_loss(self) -> float:
        """The cross entropy of equal probabilities."""
        return math.log(len(self.output_names))

    def score(self, outputs: Outputs, targets: Targets) -> float:
        """Top-1 accuracy: how many examples have their greatest logit at their label."""
        return float(np.mean(outputs.argmax(1) == targets) * 100)

    def agreement(self, outputs: Outputs, others: Outputs) -> float:
        """How many examples have their greatest logit at the same class."""
        return self.score(outputs, others.argmax(1))

    def interval(self, score: float, examples: int) -> tuple[float, float]:
        """The 95 % Wilson interval of a share that was counted on so many examples."""
        from scipy.stats import binomtest  # noqa: PLC0415  0.5 s of import that only reports need

        interval = binomtest(round(score * examples / 100), examples).proportion_ci(method="wilson")
        return 100 * float(interval.low), 100 * float(interval.high)

    def check(self, source: str) -> None:
        """There must be something to tell apart.

        Raises:
            DataError: There is one class only.
        """
        if len(self.output_names) < 2:
            raise DataError(
                f"{source} has one class only, {self.output_names[0]!r}; there is nothing to tell apart.",
                remedy="Add a second class, such as images with nothing of the first.",
            )

    def strata(self, targets: Targets) -> NDArray[np.int64]:
        """The classes."""
        return targets

    def untested(self, targets: Targets) -> tuple[str, ...]:
        """The classes that no target has."""
        there = set(targets.tolist())
        return tuple(name for label, name in enumerate(self.output_names) if label not in there)

    def companions(self) -> dict[str, bytes]:
        """``labels.txt``: a class name on every line, in the order of the logits."""
        return {LABELS: "".join(f"{name}\n" for name in self.output_names).encode()}

    def result(self, score: float) -> str:
        """How many of the test images get their own label."""
        return f"classifies {score:.2f} % of the test images correctly"

    def summary(self) -> str:
        """How many classes there are."""
        return f"{len(self.output_names)} classes"

    def objective(self) -> Objective:
        """Cross entropy."""
        from edgewidth.tasks.classification.objective import ClassificationObjective  # noqa: PLC0415  loads torch

        return ClassificationObjective(len(self.output_names))
