"""Which int8 file is kept, and what is warned of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.data.sources import Split
from edgewidth.progress import SILENT
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.stages.int8 import choose_int8, quantisation_warnings

if TYPE_CHECKING:
    from formats.cases import Exported

    from edgewidth.formats.artifacts import Files


def _files(exported: Exported, precision: Precision) -> Files:
    return {
        (Precision.INT8, FormatName.TFLITE): exported.folder.model(precision, FormatName.TFLITE).read_bytes(),
        (Precision.INT8, FormatName.ONNX): exported.folder.model(precision, FormatName.ONNX).read_bytes(),
    }


@pytest.mark.parametrize("better", [True, False])
def test_the_more_accurate_file_is_kept(exported: Exported, *, better: bool) -> None:
    """The exact files stand in for trained ones; their labels are the network's answers, so they lose nothing."""
    exact, rounded = (_files(exported, precision) for precision in (Precision.FLOAT32, Precision.INT8))
    truth = exported.arguments["test"]
    plain, trained = (rounded, exact) if better else (exact, rounded)
    # A reference without any error loses to nothing; -1 asks for training in any case.
    for key, choice in choose_int8(plain, truth, -1.0, lambda: trained, SILENT).items():
        assert choice.content == exact[key]
        assert choice.accuracy.is_trained == better
        assert choice.accuracy.float32_percent == 100
        assert choice.accuracy.images == len(truth.split)
        assert {choice.accuracy.plain_percent, choice.accuracy.trained_percent} != {100}


def test_training_is_asked_for_only_beyond_the_limit(exported: Exported) -> None:
    """One wrong image of 150 is 0.67 points; the limit itself is allowed."""
    exact = _files(exported, Precision.FLOAT32)
    truth = exported.arguments["test"]
    logits = truth.outputs.copy()
    labels = truth.split.targets.copy()
    labels[0] = (labels[0] + 1) % 5
    logits[0] = np.eye(5)[labels[0]]  # the network is right where the files are wrong
    asked = []

    def retrain() -> Files:
        asked.append(True)
        return exact

    truth = truth._replace(outputs=logits, split=Split(truth.split.images, labels))
    assert (
        choose_int8(exact, truth, 0.7, retrain, SILENT)[Precision.INT8, FormatName.ONNX].accuracy.trained_percent
        is None
    )
    assert asked == []
    accuracy = choose_int8(exact, truth, 0.6, retrain, SILENT)[Precision.INT8, FormatName.ONNX].accuracy
    assert asked == [True]
    assert accuracy.lost_points == pytest.approx(100 / 150)
    assert "costs 0.67 points on 150 images" in str(accuracy)
    assert "regains none" in str(accuracy)


def test_a_file_that_still_loses_too_much_is_warned_of(exported: Exported) -> None:
    """With another remedy where training was tried."""
    int8, float16, float32 = exported.artifacts.artifacts[:3]
    assert [one.int8 is None for one in (int8, float16, float32)] == [False, True, True]
    worse = int8.model_copy(update={"accuracy_percent": float32.accuracy_percent - 3})
    assert quantisation_warnings([worse, float32], 3.5) == ()
    assert int8.int8 is not None
    # It was not trained for int8 if no more than the limit was lost on the images that decide.
    for lost, remedy in (
        (2.0, "`max_int8_drop_points` of 1%"),
        (0.5, "`max_int8_drop_points` of 0.25%"),
        (0.0, "more"),
    ):
        untried = int8.int8.model_copy(update={"float32_percent": 90.0, "plain_percent": 90.0 - lost})
        (warning,) = quantisation_warnings([worse.model_copy(update={"int8": untried}), float32], 2.0)
        assert "model_int8.tflite is 3.0 points" in warning.message
        assert remedy in warning.remedy
    (other,) = quantisation_warnings([float16.model_copy(update={"accuracy_percent": 0.0}), float32], 2.0)
    assert "`precision=int8`" in other.remedy
    tried = int8.int8.model_copy(update={"trained_percent": 0.0})
    (warning,) = quantisation_warnings([worse.model_copy(update={"int8": tried}), float32], 2.0)
    assert "`recipe=paper`" in warning.remedy
