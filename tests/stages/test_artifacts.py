"""What is written of a trained network, held against a network written by hand in torch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from formats.cases import CLASS_NAMES, export_case

from edgewidth.data.sources import Split
from edgewidth.errors import DataError, MismatchError, ParityError
from edgewidth.formats.inspect import inspect_model, run_model
from edgewidth.records.artifact import Artifacts
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.tasks.classification.task import Classification

if TYPE_CHECKING:
    from pathlib import Path

    from formats.cases import Case, Exported


def test_every_artifact_computes_what_torch_computes(exported: Exported) -> None:
    """float32 and float16 to rounding; int8 nearly, as cosine and agreement say."""
    artifacts = exported.artifacts.artifacts
    assert {(a.format, a.precision) for a in artifacts} == {
        (f, p) for f in ("tflite", "onnx") for p in (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32)
    }
    assert exported.artifacts.reference_accuracy_percent == 100
    for artifact in artifacts:
        if artifact.precision is Precision.FLOAT32:
            assert artifact.max_difference < 1e-4
            assert artifact.accuracy_percent == artifact.agreement_percent == 100
        elif artifact.precision is Precision.FLOAT16:
            assert 1e-5 < artifact.max_difference < 1e-2
            assert artifact.agreement_percent > 99
        else:
            assert artifact.max_difference > 0
            assert artifact.cosine > 0.999
            assert artifact.agreement_percent >= 90


def test_what_is_recorded_is_what_is_in_the_files(exported: Exported) -> None:
    """Size, hash and accuracy, from the file on the disk."""
    folder, artifacts, arguments = exported
    truth = arguments["test"]
    images, reference = truth.split.images, truth.outputs
    assert len(np.unique(reference.argmax(1))) > 2
    for artifact in artifacts.artifacts:
        content = (folder.path / artifact.file).read_bytes()
        assert len(content) == artifact.size_bytes
        assert hashlib.sha256(content).hexdigest() == artifact.sha256
        logits = run_model(content, images)
        assert np.mean(logits.argmax(1) == reference.argmax(1)) * 100 == pytest.approx(artifact.accuracy_percent)
        assert np.abs(logits - reference).max() == pytest.approx(artifact.max_difference)
    artifacts.write(folder.artifacts)
    assert Artifacts.read(folder.artifacts) == artifacts


def test_the_files_say_how_to_run_them(exported: Exported) -> None:
    """Normalisation, layout, scales, class names and configuration are read back from each file alone."""
    folder, artifacts = exported.folder, exported.artifacts
    assert (folder.path / "labels.txt").read_text(encoding="utf-8").splitlines() == list(CLASS_NAMES)
    for artifact in artifacts.artifacts:
        facts = inspect_model(folder.path / artifact.file)
        assert facts.format is artifact.format
        assert facts.precision is artifact.precision
        found = facts.metadata
        assert found is not None
        assert (found.config, found.class_names) == (artifacts.config, CLASS_NAMES)
        assert (found.pixel_mean, found.pixel_std, found.resolution, found.channels) == (127.5, 127.5, 32, 3)
        shape = {"NHWC": (1, 32, 32, 3), "NCHW": (1, 3, 32, 32)}[found.layout]
        assert facts.inputs[0].shape == shape
        assert facts.outputs[0].shape == (1, 5)
        assert found.input_quantisation == facts.inputs[0].quantisation == artifact.input_quantisation
        quantised = artifact.format == "tflite" and artifact.precision is Precision.INT8
        assert (found.input_quantisation is not None) == quantised
        assert facts.inputs[0].dtype == ("int8" if quantised else "float32")


def test_a_file_that_computes_something_else_is_not_written(
    residual_case: Case, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity is a gate, and one wrong logit of one image closes it."""
    converted = {
        one.precision: (exported.folder.path / one.file).read_bytes()
        for one in exported.artifacts.artifacts
        if one.format is FormatName.TFLITE
    }
    monkeypatch.setattr("edgewidth.formats.tflite.convert.tflite_files", lambda *_, **__: converted)
    truth = exported.arguments["test"]
    wrong = truth.outputs.copy()
    wrong[7, 3] += 0.1
    with pytest.raises(ParityError, match=r"model_float16\.tflite does not compute"):
        export_case(residual_case, tmp_path, test=truth._replace(outputs=wrong))
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_configuration_are_refused(residual_case: Case, tmp_path: Path) -> None:
    """Before anything is converted."""
    with pytest.raises(MismatchError, match="this configuration needs"):
        export_case(residual_case, tmp_path, weights=residual_case.weights)


def test_data_that_do_not_fit_are_refused(residual_case: Case, exported: Exported, tmp_path: Path) -> None:
    """As many labels as images, as many names as classes."""
    truth = exported.arguments["test"]
    fewer = truth._replace(split=Split(truth.split.images, truth.split.targets[:149]))
    with pytest.raises(DataError, match="150 test images, 149 targets"):
        export_case(residual_case, tmp_path, test=fewer)
    with pytest.raises(DataError, match="the task names 4"):
        export_case(residual_case, tmp_path, test=truth._replace(task=Classification(CLASS_NAMES[:4])))
