"""The stage that writes the deployable files and proves what they compute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgewidth.errors import MismatchError
from edgewidth.progress import SILENT, Progress
from edgewidth.records.artifact import MAX_INT8_DROP_POINTS
from edgewidth.records.measurement import Precision
from edgewidth.records.provenance import Provenance, file_digest
from edgewidth.records.training import IMAGES, SEED
from edgewidth.stages.artifacts import Int8Network, export_artifacts
from edgewidth.stages.ledger import remove
from edgewidth.stages.parity import Truth
from edgewidth.streams import Purpose, stream

if TYPE_CHECKING:
    from edgewidth.data.split import ImageData
    from edgewidth.graph.spec import NetworkSpec
    from edgewidth.records.artifact import Artifacts
    from edgewidth.stages.folder import RunFolder
    from edgewidth.training.recipes import Recipe

CALIBRATION_IMAGES = 200
"""Training images from which the ranges of activations are taken."""


def export(
    weights: Path,
    data: ImageData,
    recipe: Recipe,
    folder: RunFolder,
    *,
    max_int8_drop_points: float = MAX_INT8_DROP_POINTS,
    precision: Precision = Precision.INT8,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Artifacts:
    """Write the network of a ``weights.safetensors`` as ``.tflite`` and ``.onnx``: float32, int8 and ``precision``.

    Beside them go the task's companions, such as ``labels.txt``, and ``artifacts.json``.

    Accuracy and parity of each file are its own runtime's, over the whole test set. Where quantisation costs
    more accuracy than ``max_int8_drop_points``, the network is trained on for int8 as ``recipe`` says; that goes
    on from a checkpoint, and what is better on the search images is kept.

    Raises as ``export_artifacts`` does; ``FileError`` if the weights cannot be read, ``MismatchError`` if the network
    takes other images, and ``TrainingError`` if training for int8 diverges.
    """
    from edgewidth.training.finetune import INT8, finetune_int8  # noqa: PLC0415  torch loads when it is needed
    from edgewidth.training.networks.bias_correction import fold_for_int8  # noqa: PLC0415
    from edgewidth.training.networks.inference import fold, network_outputs  # noqa: PLC0415
    from edgewidth.training.networks.layers import compute_device  # noqa: PLC0415
    from edgewidth.training.networks.weights import load_plain  # noqa: PLC0415

    network = load_plain(weights).to(compute_device())
    _check_images(network.space.network, data, weights)
    calibration = data.sample(CALIBRATION_IMAGES, stream(seed, Purpose.CALIBRATION))

    def train_int8() -> Int8Network:
        trained = finetune_int8(
            network,
            data,
            recipe.int8,
            calibration=calibration,
            weights_out=folder.weights_int8,
            log=folder.int8_log,
            checkpoints=folder.checkpoints,
            seed=seed,
            progress=progress,
        )
        return Int8Network(fold(trained), network_outputs(trained, data.test.images))

    artifacts = export_artifacts(
        network.space,
        network.config,
        fold(network),
        int8_weights=fold_for_int8(network, calibration),
        calibration=calibration,
        test=Truth(data.task, data.test, network_outputs(network, data.test.images)),
        search=Truth(data.task, data.search, network_outputs(network, data.search.images)),
        max_int8_drop_points=max_int8_drop_points,
        train_int8=train_int8,
        precision=precision,
        folder=folder,
        progress=progress,
    )
    written = {folder.path / one.file for one in artifacts.artifacts}
    remove(*(model for model in folder.models if model not in written))  # of an export before
    choices = [one.int8 for one in artifacts.artifacts if one.int8]
    if not any(choice.is_trained for choice in choices):
        remove(folder.weights_int8)  # of no file that was written
    if all(choice.trained_percent is None for choice in choices):
        remove(folder.int8_log)  # of an export before
    inputs = {"weights": file_digest(weights), IMAGES: data.fingerprint}
    artifacts = artifacts.model_copy(update={"provenance": Provenance(inputs=inputs, options={SEED: seed})})
    artifacts.write(folder.artifacts)
    remove(*folder.checkpoints.glob(f"{INT8}-*"))
    return artifacts


def _check_images(network: NetworkSpec, data: ImageData, weights: Path) -> None:
    """Refuse images that have other channels than the network takes, or whose task has another number of outputs."""
    if (data.in_channels, len(data.task.output_names)) != (network.in_channels, network.outputs):
        raise MismatchError(
            f"{weights} takes {network.in_channels} channels and has {network.outputs} outputs; "
            f"the images of {data.source} have {data.in_channels} channels and {data.task.summary()}.",
            remedy="Give the `data` that it was trained on.",
        )
