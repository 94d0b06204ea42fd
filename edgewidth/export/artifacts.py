"""The deployable files of a trained network: written, run by their own runtimes, and held against the network."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgewidth import __version__
from edgewidth.errors import DataError, ParityError
from edgewidth.export.images import PIXEL_MEAN, PIXEL_STD
from edgewidth.export.inspect import open_session, run_logits
from edgewidth.export.onnx_metadata import with_onnx_metadata
from edgewidth.export.onnx_network import onnx_files
from edgewidth.export.tflite import tflite_files
from edgewidth.export.tflite_metadata import with_tflite_metadata
from edgewidth.progress import SILENT
from edgewidth.records.artifact import Artifact, ArtifactMetadata, Artifacts
from edgewidth.records.files import write_atomic
from edgewidth.records.measurement import Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgewidth.progress import Progress
    from edgewidth.records.folder import RunFolder
    from edgewidth.records.measurement import Suffix
    from edgewidth.records.network import ChannelConfig, SearchSpace
    from edgewidth.records.weights import FoldedWeights

PARITY_TOLERANCE = 1e-2
"""How far a float32 artifact's logits may be from the network's, over the largest logit. Other orders of summation give
1e-6 to 1e-5, a reference computed by a GPU in TF32 a few 1e-3; a layer that is wrong gives 1e-1 and more."""


class _Truth(NamedTuple):
    """What artifacts are held against: images (n, height, width, channels), labels (n,), logits (n, classes)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]


def export_artifacts(
    space: SearchSpace,
    config: ChannelConfig,
    weights: FoldedWeights,
    *,
    calibration: NDArray[np.uint8],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    reference: NDArray[np.float32],
    class_names: Sequence[str],
    folder: RunFolder,
    progress: Progress = SILENT,
) -> Artifacts:
    """Write ``.tflite`` and ``.onnx``, int8 and float32, and ``labels.txt``; run each on all validation images.

    Args:
        space: The search space that the configuration is of.
        config: The channel configuration.
        weights: Its trained weights, batch normalisation folded.
        calibration: Images uint8 (n, height, width, channels) of the training data.
        images: Validation images, uint8 (n, height, width, channels).
        labels: Their classes, (n,).
        reference: The trained network's logits of them, (n, classes).
        class_names: One for every class, in the order of the logits.
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
    truth = _Truth(images, labels, reference)
    _check_truth(truth, space, class_names)
    files = _convert(space, config, weights, calibration, progress)
    contents = {
        folder.model(precision, suffix): _with_metadata(content, space, config, class_names)
        for (precision, suffix), content in files.items()
    }
    artifacts = [_evaluate(path.name, content, truth, progress) for path, content in contents.items()]
    for path, content in contents.items():
        write_atomic(path, content)
    write_atomic(folder.labels, "".join(f"{name}\n" for name in class_names).encode())
    return Artifacts(
        space=space,
        config=config,
        reference_top1_percent=_top1_percent(reference, labels),
        artifacts=tuple(artifacts),
    )


def _check_truth(truth: _Truth, space: SearchSpace, class_names: Sequence[str]) -> None:
    classes = space.network.num_classes
    if not len(truth.images) == len(truth.labels) == len(truth.logits) > 0:
        raise DataError(
            f"There are {len(truth.images)} validation images, {len(truth.labels)} labels and "
            f"{len(truth.logits)} rows of logits; there must be as many of each, and at least one."
        )
    if not truth.logits.shape[1] == len(class_names) == classes:
        raise DataError(
            f"The network has {classes} classes, the logits {truth.logits.shape[1]}, and there are "
            f"{len(class_names)} class names."
        )


def _convert(
    space: SearchSpace,
    config: ChannelConfig,
    weights: FoldedWeights,
    calibration: NDArray[np.uint8],
    progress: Progress,
) -> dict[tuple[Precision, Suffix], bytes]:
    network, widths, both = space.network, space.widths(config), (Precision.INT8, Precision.FLOAT32)
    tflite = tflite_files(network, widths, weights, precisions=both, calibration=calibration, progress=progress)
    onnx = onnx_files(network, widths, weights, precisions=both, calibration=calibration, progress=progress)
    files: dict[tuple[Precision, Suffix], bytes] = {(precision, ".tflite"): tflite[precision] for precision in both}
    return files | {(precision, ".onnx"): onnx[precision] for precision in both}


def _with_metadata(content: bytes, space: SearchSpace, config: ChannelConfig, class_names: Sequence[str]) -> bytes:
    facts = open_session(content).facts
    metadata = ArtifactMetadata(
        edgewidth_version=__version__,
        network=space.network.family,
        config=config,
        precision=facts.precision,
        resolution=space.network.resolution,
        channels=space.network.in_channels,
        layout="NHWC" if facts.suffix == ".tflite" else "NCHW",
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
        input_quantisation=facts.inputs[0].quantisation,
        output_quantisation=facts.outputs[0].quantisation,
        class_names=tuple(class_names),
    )
    return (with_tflite_metadata if facts.suffix == ".tflite" else with_onnx_metadata)(content, metadata)


def _evaluate(name: str, content: bytes, truth: _Truth, progress: Progress) -> Artifact:
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
        format="tflite" if facts.suffix == ".tflite" else "onnx",
        precision=facts.precision,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        input_quantisation=facts.inputs[0].quantisation,
        output_quantisation=facts.outputs[0].quantisation,
        top1_percent=_top1_percent(logits, truth.labels),
        agreement_percent=_top1_percent(logits, truth.logits.argmax(1)),
        max_difference=difference,
        cosine=_mean_cosine(logits, truth.logits),
    )


def _top1_percent(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float(np.mean(logits.argmax(1) == labels) * 100)


def _mean_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean(np.sum(a * b, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)))
