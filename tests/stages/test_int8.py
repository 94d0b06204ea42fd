"""Training for int8 end to end: accuracies are those of the exported files, run by their own runtimes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from small_training import small_data, small_recipe, small_space

from edgewidth.formats.inspect import run_model
from edgewidth.records.artifact import Artifact, Artifacts
from edgewidth.records.measurement import FormatName, Precision
from edgewidth.stages.export import export
from edgewidth.stages.folder import RunFolder
from edgewidth.training.finetune import finetune_network
from edgewidth.training.networks.inference import fold, network_outputs
from edgewidth.training.networks.layers import layer_weights
from edgewidth.training.networks.weights import load_plain, save_plain

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.weights import FoldedWeights
    from edgewidth.training.networks.plain import PlainNetwork

SPACE, DATA = small_space(), small_data()
RECIPE = small_recipe()
LONGER = replace(RECIPE, finetune=replace(RECIPE.finetune, passes=32))
"""For int8 it is trained for a quarter of that."""


def _trained(folder: Path, passes: int) -> PlainNetwork:
    files = RunFolder(folder)
    return finetune_network(
        SPACE,
        SPACE.largest,
        DATA,
        replace(RECIPE, finetune=replace(RECIPE.finetune, passes=passes)),
        supernet=None,
        weights_out=files.weights,
        log=files.finetune_log,
        checkpoints=files.checkpoints,
        seed=0,
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> PlainNetwork:
    """One that is sure of every image, whatever this processor rounds."""
    return _trained(tmp_path_factory.mktemp("sure"), 10)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> PlainNetwork:
    """One that is less sure, and between whose layers all channels except one are a hundredth as large.

    In float32 it computes what it did; one scale for all of an activation's channels then leaves them two or three of
    its 256 values.
    """
    spoiled = _trained(tmp_path_factory.mktemp("unsure"), 5)
    with torch.no_grad():
        for name, follower in (("inner", "spatial"), ("spatial", "outer")):
            layer, after = layer_weights(spoiled.layers, name), layer_weights(spoiled.layers, follower)
            assert layer.scale is not None
            assert layer.shift is not None
            assert after.kernel is not None
            layer.scale[1:] /= 100
            layer.shift[1:] /= 100
            (after.kernel[1:] if follower == "spatial" else after.kernel[:, 1:]).mul_(100)
    return spoiled


def _int8(artifacts: Artifacts) -> list[Artifact]:
    return [one for one in artifacts.artifacts if one.precision is Precision.INT8]


class _KilledError(Exception):
    pass


def test_training_regains_what_quantisation_costs(
    spoiled: PlainNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files themselves are better, the records say by how much, and float32 files stay the network's.

    Killed after training for int8, export goes on from the end of it.
    """
    folder = RunFolder(tmp_path)

    folded: list[PlainNetwork] = []

    def killed(one: PlainNetwork) -> FoldedWeights:
        if folded:
            raise _KilledError
        folded.append(one)
        return fold(one)

    save_plain(spoiled, folder.weights)
    with monkeypatch.context() as patch:
        patch.setattr("edgewidth.training.networks.inference.fold", killed)
        with pytest.raises(_KilledError):
            export(folder.weights, DATA, LONGER, folder)
    written = folder.weights_int8.read_bytes()
    monkeypatch.setattr("edgewidth.training.loop.loop._one_step", lambda *_: pytest.fail("it was trained already"))
    artifacts = export(folder.weights, DATA, LONGER, folder)
    assert folder.weights_int8.read_bytes() == written
    assert Artifacts.read(folder.artifacts) == artifacts
    reference = DATA.task.score(network_outputs(spoiled, DATA.search.images), DATA.search.targets)
    for artifact in _int8(artifacts):
        found = artifact.int8
        assert found is not None
        assert found.float32_percent == pytest.approx(reference)
        assert found.lost_points > 5
        assert found.trained_percent is not None
        assert found.trained_percent >= reference - 1
        ran = run_model((tmp_path / artifact.file).read_bytes(), DATA.search.images)
        assert np.mean(ran.argmax(1) == DATA.search.targets) * 100 == pytest.approx(found.trained_percent)
    trained = load_plain(folder.weights_int8)
    for artifact in artifacts.artifacts:
        own = network_outputs(trained if artifact.int8 else spoiled, DATA.test.images)
        ran = run_model((tmp_path / artifact.file).read_bytes(), DATA.test.images)
        assert np.abs(ran - own).max() == pytest.approx(artifact.max_difference, rel=1e-3, abs=1e-4)
    assert artifacts.warnings == ()
    assert not list(folder.checkpoints.glob("*"))


def test_where_quantisation_costs_little_nothing_is_trained(network: PlainNetwork, tmp_path: Path) -> None:
    """And what an export before left of its training for int8 goes, and its files of a precision not asked for now."""
    folder = RunFolder(tmp_path)
    stale = folder.model(Precision.DYNAMIC_INT8, FormatName.ONNX)
    stale.write_bytes(b"old")
    folder.weights_int8.write_bytes(b"old")
    folder.int8_log.write_text("old")
    save_plain(network, folder.weights)
    artifacts = export(folder.weights, DATA, LONGER, folder, max_int8_drop_points=2.0, precision=Precision.FLOAT16)
    assert [one.int8.trained_percent for one in _int8(artifacts) if one.int8] == [None, None]
    assert artifacts.warnings == ()
    assert not folder.weights_int8.exists()
    assert not folder.int8_log.exists()
    assert not stale.exists()
    assert {one.file for one in artifacts.artifacts} == {path.name for path in tmp_path.glob("model_*")}
    assert folder.model(Precision.FLOAT16, FormatName.ONNX).exists()
