"""Exported files held against the trained network: what each computes on the host, run by its own runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import DataError, ParityError
from edgewidth.formats.inspect import model_facts, run_model
from edgewidth.records.artifact import Artifact
from edgewidth.records.measurement import FilePrecision, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.sources import Split
    from edgewidth.progress import Progress
    from edgewidth.records.artifact import Int8Accuracy
    from edgewidth.tasks.task import Task

PARITY_TOLERANCES: dict[FilePrecision, float] = {Precision.FLOAT32: 1e-2, Precision.FLOAT16: 5e-2}
"""How far an artifact's outputs may be from the network's, over the largest one. In float32 other orders of summation
give 1e-6 to 1e-5, a reference computed by a GPU in TF32 a few 1e-3; in float16 rounding the weights gives 1e-3; a layer
that is wrong gives 1e-1 and more."""


class Truth(NamedTuple):
    """What files are held against: images with their targets, and the trained network's ``outputs`` (n, outputs)."""

    task: Task
    split: Split
    outputs: NDArray[np.float32]

    @property
    def accuracy_percent(self) -> float:
        """The accuracy of the trained network, in percent."""
        return self.task.score(self.outputs, self.split.targets)

    def check(self, name: str, outputs: int) -> None:
        """Hold the numbers of images, targets and outputs against each other and against the network's.

        Raises:
            DataError: Images, targets and outputs are not as many as each other, or the outputs, the network's
                ``outputs`` and the task's are not; ``name`` says of which images.
        """
        images, targets = len(self.split.images), len(self.split.targets)
        if not images == targets == len(self.outputs) > 0:
            raise DataError(
                f"There are {images} {name} images, {targets} targets and {len(self.outputs)} rows of outputs; "
                "there must be as many of each, and at least one."
            )
        if not self.outputs.shape[1] == len(self.task.output_names) == outputs:
            raise DataError(
                f"The network has {outputs} outputs, there are {self.outputs.shape[1]} of each {name} image, and the "
                f"task names {len(self.task.output_names)}."
            )


def evaluate(
    name: str, content: bytes, truth: Truth, progress: Progress, *, int8: Int8Accuracy | None = None
) -> Artifact:
    """Run a file on all images and hold it against the network.

    Raises:
        ParityError: It is float32 or float16 and computes something else.
    """
    facts = model_facts(content)
    outputs = run_model(content, truth.split.images, progress=progress, title=f"Evaluating {name}")
    difference = float(np.max(np.abs(outputs - truth.outputs)))
    largest = max(1.0, float(np.max(np.abs(truth.outputs))))
    if not difference <= PARITY_TOLERANCES.get(facts.precision, np.inf) * largest:
        raise ParityError(
            f"{name} does not compute what the trained network computes: an output differs by {difference:.3g}, "
            f"where the largest is {largest:.3g}.",
            remedy="This is a fault of the conversion; report it with run.json and weights.safetensors.",
        )
    return Artifact(
        file=name,
        format=facts.format,
        precision=facts.precision,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        input_quantisation=facts.inputs[0].quantisation,
        output_quantisation=facts.outputs[0].quantisation,
        metric=truth.task.metric,
        accuracy_percent=truth.task.score(outputs, truth.split.targets),
        agreement_percent=truth.task.agreement(outputs, truth.outputs),
        max_difference=difference,
        cosine=_mean_cosine(outputs, truth.outputs),
        int8=int8,
    )


def _mean_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.sum(a * b, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)))
