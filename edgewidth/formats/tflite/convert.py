"""From a network and its weights to .tflite files, through TensorFlow's converter in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewidth.documents import Record
from edgewidth.errors import MissingPackageError, SurroundingsError
from edgewidth.files import temporary_folder
from edgewidth.formats.folded import check_weights
from edgewidth.graph.spec import NetworkSpec
from edgewidth.records.measurement import Precision
from edgewidth.waiting import run_to_end

if TYPE_CHECKING:
    from edgewidth.formats.conversion import Conversion

REQUEST_FILE = "request.json"
WEIGHTS_FILE = "weights.npz"
CALIBRATION_FILE = "calibration.npy"
TIME_LIMIT_S = 1800


class ConversionRequest(Record):
    """What the conversion process shall make."""

    network: NetworkSpec
    widths: dict[str, int]
    precisions: tuple[Precision, ...]


def tflite_files(conversion: Conversion) -> dict[Precision, bytes]:
    """The network as .tflite files; int8 is int8 throughout, input and output included.

    Raises as ``Format.convert`` does; the converter fails too where it is killed, as it is when memory runs out, or
    takes too long.
    """
    network, widths, weights, precisions, calibration, progress = conversion
    check_weights(network, widths, weights)
    if Precision.INT8 in precisions:
        conversion.images()  # before a process is started, which takes seconds
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingPackageError("tensorflow", extra="export", purpose="Writing .tflite files")
    title = f"Converting to TFLite {' and '.join(precisions)}"
    with temporary_folder() as folder, progress.task(title):
        request = ConversionRequest(network=network, widths=dict(widths), precisions=tuple(precisions))
        (folder / REQUEST_FILE).write_text(request.model_dump_json())
        arrays = {f"{layer}/{field}": a for layer, w in weights.items() for field, a in w._asdict().items()}
        np.savez(folder / WEIGHTS_FILE, allow_pickle=False, **arrays)
        if calibration is not None:
            np.save(folder / CALIBRATION_FILE, calibration, allow_pickle=False)
        _run_worker(folder)
        return {precision: (folder / f"{precision}.tflite").read_bytes() for precision in precisions}


def _run_worker(folder: Path) -> None:
    # No GPU: conversion gains nothing from one, and TensorFlow would take all of its memory.
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    environment["KERAS_HOME"] = str(folder)  # in the user's home folder otherwise
    # -P: nothing in the user's folder may stand in for a package.
    command = [sys.executable, "-P", "-m", "edgewidth.formats.tflite.worker", str(folder)]
    try:
        result = run_to_end(command, timeout_s=TIME_LIMIT_S, environment=environment)
    except subprocess.TimeoutExpired as error:
        raise SurroundingsError(
            f"The conversion to TFLite took more than {TIME_LIMIT_S} s.", remedy="Close other programs and try again."
        ) from error
    if result.returncode < 0:
        raise SurroundingsError(
            f"The conversion to TFLite was killed by signal {-result.returncode}.",
            remedy="It needs about 2 GB of memory: close other programs and try again.",
        )
    if result.returncode:
        last_words = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SurroundingsError(
            f"The conversion to TFLite failed: {last_words}",
            remedy="Try again with memory and disk space free; if it fails alike, report it with the network.",
        )
