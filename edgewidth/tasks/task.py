"""What a task offers: a light description, and behind its ``objective`` what training needs, in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Outputs = NDArray[np.float32]
    """What a network computes for n examples, as its last layer gives it: (n, outputs)."""
    Targets = NDArray[Any]
    """The right answers for n examples, as a data source stores them: (n, …)."""


class ReadTargets(NamedTuple):
    """The targets of a data source's training and test images, and the task that they are for."""

    train: Targets
    test: Targets
    task: Task


class FileText(NamedTuple):
    """What a model file says of itself to other programs, in English."""

    model: str
    """What kind of model it is."""
    output: str
    """What its output means."""
    output_names: str
    """What the names of its outputs are."""


class Objective(Protocol):
    """What a network learns for a task, on torch's tensors.

    A *target* is what the loss compares outputs with: targets as they are stored, or what ``target`` or ``taught``
    make. Losses are in nats.
    """

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The loss of every example: (n,)."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The mean loss of the examples."""

    def target(self, targets: Tensor, *, smoothing: float) -> Tensor:
        """Stored targets in a form that can be smoothed and blended."""

    def taught(self, outputs: Tensor) -> Tensor:
        """What a network learns from the outputs of its teacher: distillation's target."""

    def blended(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """A target between two, which ``target`` or ``taught`` made; ``share`` is how much of the second it has."""

    def moved(self, targets: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Tensor:
        """The targets of images whose pixels are taken from other ``rows`` (n, height) and ``columns`` (n, width)."""


class Task(Protocol):
    """What a network is for. Tasks with the same name and the same ``output_names`` are equal."""

    name: ClassVar[str]
    """As documents tell it."""
    metric: ClassVar[str]
    """Which accuracy counts, such as ``top-1``: in percent, more is better."""
    text: ClassVar[FileText]
    companion_names: ClassVar[tuple[str, ...]]
    """The names of the files that stand beside a model file."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The name of every number that the network gives for one example, in their order."""

    @property
    def chance_loss(self) -> float:
        """The loss (nats) of a network that knows nothing: one that stays well above it does not learn."""

    def score(self, outputs: Outputs, targets: Targets) -> float:
        """The accuracy of outputs, in percent."""

    def agreement(self, outputs: Outputs, others: Outputs) -> float:
        """The share of the examples, in percent, on which the outputs of two networks agree."""

    def interval(self, score: float, examples: int) -> tuple[float, float]:
        """The 95 % interval of a score that so many examples gave."""

    def check(self, source: str) -> None:
        """Hold what a data source brought against what the task needs.

        Raises:
            DataError: Nothing can be learned of it.
        """

    def strata(self, targets: Targets) -> NDArray[np.int64]:
        """The group of every example (n,): the parts of a data set are drawn from every group alike."""

    def untested(self, targets: Targets) -> tuple[str, ...]:
        """The outputs that an accuracy over these targets says nothing of, by name."""

    def companions(self) -> Mapping[str, bytes]:
        """The contents of the files that stand beside a model file, by their names."""

    def result(self, score: float) -> str:
        """What a network with this score on the test images does, to follow its name in a sentence."""

    def summary(self) -> str:
        """How many outputs of which kind there are, such as ``10 classes``."""

    def objective(self) -> Objective:
        """What training needs; loads torch."""
