"""What quantisation costs each file, and which of two networks an int8 file is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from edgewidth.formats.inspect import run_model
from edgewidth.records.artifact import Int8Accuracy
from edgewidth.records.measurement import MeasurementWarning, Precision

if TYPE_CHECKING:
    from edgewidth.formats.artifacts import Files
    from edgewidth.progress import Progress
    from edgewidth.records.artifact import Artifact
    from edgewidth.records.measurement import FormatName
    from edgewidth.stages.parity import Truth


class Int8Choice(NamedTuple):
    """An int8 file, and how it was chosen."""

    content: bytes
    accuracy: Int8Accuracy


def choose_int8(
    plain: Files, truth: Truth, max_drop_points: float, retrain: Callable[[], Files], progress: Progress
) -> dict[tuple[Precision, FormatName], Int8Choice]:
    """Each file as it is, or after training for int8 if one of them loses too much and it is better then.

    ``plain`` are int8 files, quantised as the network was trained, and ``retrain`` gives the same files of the network
    trained on for int8; it is called once at most. ``truth`` decides.
    """
    reference = truth.accuracy_percent
    before = {key: _accuracy_percent(content, truth, progress) for key, content in plain.items()}
    lost = reference - min(before.values())
    trained: Files = {}
    if lost > max_drop_points:
        progress.say(f"Quantisation costs {lost:.2f} points, more than {max_drop_points:g}: training for int8.")
        trained = retrain()
    chosen = {}
    for key, content in plain.items():
        accuracy = Int8Accuracy(
            images=len(truth.split),
            float32_percent=reference,
            plain_percent=before[key],
            trained_percent=_accuracy_percent(trained[key], truth, progress) if trained else None,
        )
        progress.say(f"int8 .{key[1]}: {accuracy}.")
        chosen[key] = Int8Choice(trained[key] if accuracy.is_trained else content, accuracy)
    return chosen


def _accuracy_percent(content: bytes, truth: Truth, progress: Progress) -> float:
    outputs = run_model(content, truth.split.images, progress=progress, title="Comparing int8")
    return truth.task.score(outputs, truth.split.targets)


def quantisation_warnings(artifacts: Iterable[Artifact], max_drop_points: float) -> tuple[MeasurementWarning, ...]:
    """A warning of every file that is less accurate than the float32 file of its format by more than that."""
    artifacts = tuple(artifacts)
    float32 = {one.format: one.accuracy_percent for one in artifacts if one.precision is Precision.FLOAT32}
    warnings = []
    for one in artifacts:
        if (lost := float32[one.format] - one.accuracy_percent) <= max_drop_points:
            continue
        reason = f": {one.int8}" if one.int8 else ""
        message = f"{one.file} is {lost:.1f} points of accuracy below the float32 file{reason}."
        remedy = _remedy(one, max_drop_points)
        warnings.append(MeasurementWarning(code="quantisation-costs-accuracy", message=message, remedy=remedy))
    return tuple(warnings)


def _remedy(artifact: Artifact, max_drop_points: float) -> str:
    if artifact.int8 is None:
        return "Use `precision=int8`, for which a network is trained where it must be, or `precision=float32`."
    if artifact.int8.trained_percent is None:
        lost = artifact.int8.lost_points  # on the images that decide, not on those of the test
        if lost > 0:
            below = min(max_drop_points, lost) / 2
            return f"Export again with a `max_int8_drop_points` of {below:.2g}%, which trains the network for int8."
        return "Use `precision=float32`, or more images: on those that are kept out of training int8 costs nothing."
    return "Train longer with `recipe=paper`, use `precision=float32`, or more images like the device's."
