"""Model files: what any of them is, and what those that edgewidth made compute on this machine."""

from __future__ import annotations

import os
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewidth.data.pixels import normalise
from edgewidth.errors import FileError, MismatchError
from edgewidth.formats.registry import format_of
from edgewidth.progress import SILENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewidth.data.pixels import Inputs
    from edgewidth.formats.format import LoadedModel, ModelFacts, TensorFacts
    from edgewidth.progress import Progress
    from edgewidth.records.measurement import OperatorWork

_CHUNK = 64
"""Images that a thread takes at a time."""


def read_model(path: Path) -> bytes:
    """A model file, with what it keeps in other files beside it.

    Raises:
        FileError: It cannot be read, is of no known format, or is damaged, so far as can be seen.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} could not be read: {error.strerror}.") from error
    try:
        return format_of(content).gathered(content, path)
    except FileError as error:
        raise _about(path, error) from error


def inspect_model(path: Path, signature: str | None = None) -> ModelFacts:
    """What a file is: format, precision, inputs and outputs, and edgewidth's metadata if it has some.

    No runtime loads it, so that it may be anyone's. ``signature`` is the entry that is asked about; None: the first.

    Raises:
        FileError: It cannot be read, is of no known format, or is damaged, so far as can be seen.
        InputError: It has no entry of that name.
    """
    content = read_model(path)
    try:
        return model_facts(content, signature)
    except FileError as error:
        raise _about(path, error) from error


def _about(path: Path, error: FileError) -> FileError:
    return FileError(
        f"{path} is no model that can be used: {error.message}",
        remedy=error.remedy or "Export it again, or fetch it again from where it came.",
    )


def model_facts(content: bytes, signature: str | None = None) -> ModelFacts:
    """What a model file says of itself, read without a runtime.

    Raises:
        FileError: It is of no known format, or is damaged.
        InputError: It has no entry of the name ``signature``.
    """
    return format_of(content).facts(content, signature)


def operator_work(content: bytes) -> tuple[OperatorWork, ...]:
    """What the operators of a model file cost, in the file's order; empty where that cannot be told."""
    return format_of(content).work(content)


def load_model(content: bytes) -> LoadedModel:
    """A model file of our own, loaded by its runtime.

    Raises:
        FileError: It is of no known format, or is damaged.
    """
    return format_of(content).load(content)


def run_model(
    content: bytes,
    images: Inputs,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
    title: str = "Evaluating",
) -> NDArray[np.float32]:
    """What a model file computes of images, one at a time as on a device, several threads beside each other.

    The file has one image as input and one row of numbers as output. ``images``, pixels or features (n, height, width,
    channels), are normalised as all of edgewidth's are, and quantised and laid out as the file asks. ``threads`` None:
    as many as this process may use.

    Returns:
        Outputs, float32 (n, outputs): dequantised where the file's output is quantised.

    Raises:
        FileError: The file cannot be loaded.
        MismatchError: Its input is not one image of this shape.
    """
    loaded, facts = load_model(content), model_facts(content)
    source, target = facts.inputs[0], facts.outputs[0]
    channels_first = _channels_first(source, images.shape[1:])
    workers = min(threads or len(os.sched_getaffinity(0)), max(1, len(images) // _CHUNK))
    free: queue.SimpleQueue[LoadedModel] = queue.SimpleQueue()
    for worker in range(workers):
        free.put(loaded if worker == 0 else loaded.clone())

    def run_chunk(start: int) -> NDArray[np.float32]:
        inputs = _stored(source, normalise(images[start : start + _CHUNK]))
        if channels_first:
            inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
        mine = free.get()
        try:
            return _real(target, np.concatenate([mine.run(image[None]) for image in inputs]))
        finally:
            free.put(mine)

    outputs = []
    with ThreadPoolExecutor(workers) as pool, progress.task(title, len(images)) as task:
        for chunk in pool.map(run_chunk, range(0, len(images), _CHUNK)):
            outputs.append(chunk)
            task.advance(len(chunk))
    return np.concatenate(outputs)


def _channels_first(source: TensorFacts, shape: tuple[int, ...]) -> bool:
    """Whether an input takes images of this (height, width, channels) with their channels first."""
    height, width, channels = shape
    for first, expected in ((False, (height, width, channels)), (True, (channels, height, width))):
        sizes = source.shape or ()
        if len(sizes) == 4 and all(a in {b, -1} for a, b in zip(sizes[1:], expected, strict=True)):
            return first
    raise MismatchError(
        f"The model's input {source.name} has the shape {list(source.shape or ())}; the images are {list(shape)}."
    )


def _stored(tensor: TensorFacts, real: NDArray[np.float32]) -> NDArray[Any]:
    if tensor.dtype == "float32":
        return real
    if tensor.quantisation is None:
        raise MismatchError(f"The model's input {tensor.name} is {tensor.dtype} without a scale; float32 was expected.")
    limits = np.iinfo(tensor.dtype)
    steps = np.rint(real / np.float32(tensor.quantisation.scale)) + tensor.quantisation.zero_point
    stored: NDArray[Any] = steps.clip(limits.min, limits.max).astype(limits.dtype)
    return stored


def _real(tensor: TensorFacts, stored: NDArray[Any]) -> NDArray[np.float32]:
    if tensor.quantisation is None:
        return stored.astype(np.float32)
    steps: NDArray[np.float32] = stored.astype(np.float32) - np.float32(tensor.quantisation.zero_point)
    return steps * np.float32(tensor.quantisation.scale)
