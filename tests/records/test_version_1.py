"""Files with version 1 of their schemas, which older edgewidths wrote, are read as those of today."""

from __future__ import annotations

import json
from pathlib import Path

from edgewidth.graph.families.registry import search_space
from edgewidth.records.artifact import Artifacts
from edgewidth.records.run import RunRequest

OLD = Path(__file__).parents[1] / "version_1"
"""Written by ``edgewidth run --device fake --recipe quick``."""


def test_the_splits_of_a_run_have_their_present_names() -> None:
    """What judged is the holdout, what validated is the test set; the task is the only one that there was."""
    old, data = json.loads((OLD / "run.json").read_text())["data"], RunRequest.read(OLD / "run.json").data
    assert (data.train, data.search, data.holdout, data.test) == (1151, 141, 141, 364)
    assert (data.holdout, data.test) == (old["judge"], old["validation"])
    assert (data.task, data.class_names) == ("classification", tuple("0123456789"))


def test_networks_of_flat_layers_are_graphs_of_operators() -> None:
    """The space of the run is the one that its options make today; the store of its time knew it by this name."""
    space = RunRequest.read(OLD / "run.json").space
    assert space == search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
    assert space.old_fingerprint == "3723cacce1bf5932"


def test_the_accuracies_of_artifacts_are_kept() -> None:
    """File by file, and the network's own."""
    old, new = json.loads((OLD / "artifacts.json").read_text()), Artifacts.read(OLD / "artifacts.json")
    assert new.reference_accuracy_percent == old["reference_top1_percent"]
    assert [one.accuracy_percent for one in new.artifacts] == [one["top1_percent"] for one in old["artifacts"]]
    assert {one.metric for one in new.artifacts} == {"top-1"}
