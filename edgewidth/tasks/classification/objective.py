"""How classification is learned, in torch: cross entropy with labels or with probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class ClassificationObjective(NamedTuple):
    """An ``Objective``: a target is labels (n,) or the probabilities of the classes (n, classes)."""

    classes: int

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of every example: (n,)."""
        return functional.cross_entropy(outputs, target, reduction="none")

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Mean cross entropy."""
        return functional.cross_entropy(outputs, target)

    def target(self, targets: Tensor, *, smoothing: float) -> Tensor:
        """Labels as probabilities, of which ``smoothing`` is spread evenly over all classes."""
        return functional.one_hot(targets, self.classes).float() * (1 - smoothing) + smoothing / self.classes

    def taught(self, outputs: Tensor) -> Tensor:
        """The teacher's probabilities (Hinton et al. 2015, arXiv 1503.02531), at a temperature of 1."""
        return torch.softmax(outputs, 1)

    def blended(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """Probabilities between two."""
        return torch.lerp(first, second, share)

    def moved(self, targets: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
        """The labels as they are: an image is of its class wherever its object is."""
        del rows, columns
        return targets
