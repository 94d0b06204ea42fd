"""The stage that writes the deployable files and proves what they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewidth.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgewidth.records.artifact import Artifacts
    from edgewidth.records.folder import RunFolder
    from edgewidth.training.data import ImageData
    from edgewidth.training.plain import PlainNetwork

CALIBRATION_IMAGES = 200
"""Training images from which the ranges of activations are taken."""


def export(
    network: PlainNetwork, data: ImageData, folder: RunFolder, *, seed: int = 0, progress: Progress = SILENT
) -> Artifacts:
    """Write ``.tflite`` and ``.onnx``, float32 and int8, ``labels.txt`` and ``artifacts.json``.

    Accuracy and parity of each file are its own runtime's, over the whole validation set.

    Raises:
        ParityError: A float32 file does not compute what the network computes.
    """
    from edgewidth.export.artifacts import export_artifacts  # noqa: PLC0415  converters load when they are needed
    from edgewidth.training.inference import fold, logits  # noqa: PLC0415

    rng = np.random.default_rng([seed, 2])
    chosen = rng.permutation(len(data.x_train))[:CALIBRATION_IMAGES]
    artifacts = export_artifacts(
        network.space,
        network.config,
        fold(network),
        calibration=data.x_train[chosen],
        images=data.x_val,
        labels=data.y_val,
        reference=logits(network, data.x_val),
        class_names=data.class_names,
        folder=folder,
        progress=progress,
    )
    artifacts.write(folder.artifacts)
    return artifacts
