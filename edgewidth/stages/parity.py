"""Exported files held against the trained network: what each computes on the host, run by its own runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth.errors import DataError, ParityError
from edgewidth.formats.inspect import open_session, run_logits
from edgewidth.records.artifact import Artifact
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.records.artifact import Int8Accuracy

PARITY_TOLERANCE = 1e-2
"""How far a float32 artifact's logits may be from the network's, over the largest logit. Other orders of summation give
1e-6 to 1e-5, a reference computed by a GPU in TF32 a few 1e-3; a layer that is wrong gives 1e-1 and more."""


class Truth(NamedTuple):
    """What files are held against: images (n, height, width, channels), labels (n,), logits (n, classes)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]

    def check(self, name: str, classes: int, class_names: Sequence[str]) -> None:
        """Hold it against the number of classes that the network has.

        Raises:
            DataError: Images, labels, logits, classes and class names are not as many as each other; ``name`` says of
                which images.
        """
        if not len(self.images) == len(self.labels) == len(self.logits) > 0:
            raise DataError(
                f"There are {len(self.images)} {name} images, {len(self.labels)} labels and "
                f"{len(self.logits)} rows of logits; there must be as many of each, and at least one."
            )
        if not self.logits.shape[1] == len(class_names) == classes:
            raise DataError(
                f"The network has {classes} classes, the logits {self.logits.shape[1]}, and there are "
                f"{len(class_names)} class names."
            )


def top1_percent(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """How many of the rows of ``logits`` (n, classes) are greatest at their label (n,)."""
    return float(np.mean(logits.argmax(1) == labels) * 100)


def evaluate(
    name: str, content: bytes, truth: Truth, progress: Progress, *, int8: Int8Accuracy | None = None
) -> Artifact:
    """Run a file on all images and hold it against the network.

    Raises:
        ParityError: It is float32 and computes something else.
    """
    facts = open_session(content).facts
    logits = run_logits(content, truth.images, progress=progress, title=f"Evaluating {name}")
    difference = float(np.max(np.abs(logits - truth.logits)))
    largest = max(1.0, float(np.max(np.abs(truth.logits))))
    if facts.precision is Precision.FLOAT32 and not difference <= PARITY_TOLERANCE * largest:
        raise ParityError(
            f"{name} does not compute what the trained network computes: a logit differs by {difference:.3g}, "
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
        metric="top-1",
        accuracy_percent=top1_percent(logits, truth.labels),
        agreement_percent=top1_percent(logits, truth.logits.argmax(1)),
        max_difference=difference,
        cosine=_mean_cosine(logits, truth.logits),
        int8=int8,
    )


def _mean_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.sum(a * b, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)))
