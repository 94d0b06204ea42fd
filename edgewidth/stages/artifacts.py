"""The deployable files of a trained network: written, run by their own runtimes, and held against the network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgewidth import __version__
from edgewidth.data.pixels import PIXEL_MEAN, PIXEL_STD
from edgewidth.errors import DataError, ParityError
from edgewidth.files import write_atomic
from edgewidth.formats.inspect import open_session, run_logits
from edgewidth.formats.int8 import choose_int8, int8_warnings, top1_percent
from edgewidth.formats.onnx.metadata import with_onnx_metadata
from edgewidth.formats.onnx.network import onnx_files
from edgewidth.formats.tflite.convert import tflite_files
from edgewidth.formats.tflite.metadata import with_tflite_metadata
from edgewidth.progress import SILENT
from edgewidth.records.artifact import LABELS, Artifact, ArtifactMetadata, Artifacts, model_name
from edgewidth.records.measurement import FormatName, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgewidth.formats.int8 import Files
    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.progress import Progress
    from edgewidth.records.artifact import Int8Accuracy
    from edgewidth.records.weights import FoldedWeights

PARITY_TOLERANCE = 1e-2
"""How far a float32 artifact's logits may be from the network's, over the largest logit. Other orders of summation give
1e-6 to 1e-5, a reference computed by a GPU in TF32 a few 1e-3; a layer that is wrong gives 1e-1 and more."""


class Truth(NamedTuple):
    """What files are held against: images (n, height, width, channels), labels (n,), logits (n, classes)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]


class Int8Network(NamedTuple):
    """A network trained on for int8: its folded weights, and its logits of the validation images (n, classes)."""

    weights: FoldedWeights
    logits: NDArray[np.float32]


class _Target(NamedTuple):
    """What all files of one export have in common."""

    space: SearchSpace
    config: ChannelConfig
    calibration: NDArray[np.uint8]
    class_names: Sequence[str]
    progress: Progress

    def convert(self, weights: FoldedWeights, *precisions: Precision) -> Files:
        """The network as files of both formats."""
        network, widths = self.space.network, self.space.widths(self.config)
        options: dict[str, Any] = {
            "precisions": precisions,
            "calibration": self.calibration,
            "progress": self.progress,
        }
        tflite = tflite_files(network, widths, weights, **options)
        onnx = onnx_files(network, widths, weights, **options)
        files: Files = {(precision, FormatName.TFLITE): tflite[precision] for precision in precisions}
        files |= {(precision, FormatName.ONNX): onnx[precision] for precision in precisions}
        return {key: _with_metadata(content, self) for key, content in files.items()}


def export_artifacts(
    space: SearchSpace,
    config: ChannelConfig,
    weights: FoldedWeights,
    *,
    calibration: NDArray[np.uint8],
    validation: Truth,
    search: Truth,
    class_names: Sequence[str],
    max_int8_drop_points: float,
    train_int8: Callable[[], Int8Network],
    folder: Path,
    progress: Progress = SILENT,
) -> Artifacts:
    """Write ``.tflite`` and ``.onnx``, int8 and float32, and ``labels.txt``; run each on all validation images.

    Where an int8 file is less accurate than the network by more than ``max_int8_drop_points``, the network is trained
    on for int8, and each int8 file is made of the weights with which it is more accurate. Both are decided on the
    search images, so that accuracies on the validation images are of files that were not chosen by them.

    Args:
        space: The search space that the configuration is of.
        config: The channel configuration.
        weights: Its trained weights, batch normalisation folded.
        calibration: Images uint8 (n, height, width, channels) of the training data.
        validation: The images that accuracies are reported of, with the trained network's logits.
        search: Images kept out of training, with the trained network's logits.
        class_names: One for every class, in the order of the logits.
        max_int8_drop_points: How much top-1 accuracy quantisation may cost, in percentage points.
        train_int8: Trains the network on for int8.
        folder: Where the files go.
        progress: Where to report to.

    Returns:
        What was written; the caller stores it as ``artifacts.json``.

    Raises:
        ParityError: A float32 file does not compute what the network computes; nothing is written then.
        MismatchError: The weights are not of this configuration.
        DataError: Images, labels, logits and class names do not fit each other.
        MissingPackageError, SurroundingsError: The conversion failed.
        StorageError: A file cannot be written.
    """
    _check_truth("validation", validation, space, class_names)
    _check_truth("search", search, space, class_names)
    target = _Target(space, config, calibration, class_names, progress)
    files = target.convert(weights, Precision.INT8, Precision.FLOAT32)
    float32 = {key: content for key, content in files.items() if key[0] is Precision.FLOAT32}
    # First, since a network that is converted wrongly need not be trained.
    artifacts = [_evaluate(model_name(*key), content, validation, progress) for key, content in float32.items()]
    retrained: list[Int8Network] = []

    def retrain() -> Files:
        retrained.append(train_int8())
        return target.convert(retrained[0].weights, Precision.INT8)

    plain = {key: content for key, content in files.items() if key not in float32}
    chosen = choose_int8(plain, search, max_int8_drop_points, retrain, progress)
    for key, choice in chosen.items():
        truth = validation._replace(logits=retrained[0].logits) if choice.accuracy.is_trained else validation
        name = model_name(*key)
        artifacts.append(_evaluate(name, choice.content, truth, progress, int8=choice.accuracy))
    for key, content in (float32 | {key: choice.content for key, choice in chosen.items()}).items():
        write_atomic(folder / model_name(*key), content)
    write_atomic(folder / LABELS, "".join(f"{name}\n" for name in class_names).encode())
    return Artifacts(
        space=space,
        config=config,
        reference_top1_percent=top1_percent(validation.logits, validation.labels),
        max_int8_drop_points=max_int8_drop_points,
        artifacts=tuple(
            sorted(artifacts, key=lambda artifact: (artifact.format is not FormatName.TFLITE, artifact.int8 is None))
        ),
        warnings=int8_warnings(artifacts, max_int8_drop_points),
    )


def _check_truth(name: str, truth: Truth, space: SearchSpace, class_names: Sequence[str]) -> None:
    classes = space.network.num_classes
    if not len(truth.images) == len(truth.labels) == len(truth.logits) > 0:
        raise DataError(
            f"There are {len(truth.images)} {name} images, {len(truth.labels)} labels and "
            f"{len(truth.logits)} rows of logits; there must be as many of each, and at least one."
        )
    if not truth.logits.shape[1] == len(class_names) == classes:
        raise DataError(
            f"The network has {classes} classes, the logits {truth.logits.shape[1]}, and there are "
            f"{len(class_names)} class names."
        )


def _with_metadata(content: bytes, target: _Target) -> bytes:
    facts, space = open_session(content).facts, target.space
    metadata = ArtifactMetadata(
        edgewidth_version=__version__,
        network=space.network.family,
        config=target.config,
        precision=facts.precision,
        resolution=space.network.resolution,
        channels=space.network.in_channels,
        layout="NHWC" if facts.format is FormatName.TFLITE else "NCHW",
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
        input_quantisation=facts.inputs[0].quantisation,
        output_quantisation=facts.outputs[0].quantisation,
        class_names=tuple(target.class_names),
    )
    return (with_tflite_metadata if facts.format is FormatName.TFLITE else with_onnx_metadata)(content, metadata)


def _evaluate(
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
        top1_percent=top1_percent(logits, truth.labels),
        agreement_percent=top1_percent(logits, truth.logits.argmax(1)),
        max_difference=difference,
        cosine=_mean_cosine(logits, truth.logits),
        int8=int8,
    )


def _mean_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.sum(a * b, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)))
