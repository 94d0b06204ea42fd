"""What a folder holds is done, to be done again, or refused with what differs: a line for every case."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report import sample
from safetensors.numpy import save_file
from small_training import small_space

from edgewidth.errors import MismatchError
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.comparison import Comparison
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.provenance import Digest, Provenance, differences
from edgewidth.records.run import Narrowing
from edgewidth.records.weights_file import network_facts, supernet_provenance
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.ledger import (
    COMPARE,
    EXPORT,
    FINETUNE,
    JUDGE,
    PROFILE,
    SEARCH,
    STAGES,
    TRAIN,
    VALIDATE,
    Ledger,
    everything,
    files_of,
    with_followers,
)
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import save_plain

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.budget import Budget
    from edgewidth.records.provenance import Made
    from edgewidth.stages.ledger import Stage

OTHER = Digest("f" * 16)
TRUTH = sample.make_truth()
FOUND = sample.search(TRUTH)
BUDGET_MS = FOUND.budget.latency_ms


def made_of(document: Made, *, inputs: tuple[str, ...] = (), **options: Any) -> Made:
    """A document that says of what it was made."""
    provenance = Provenance(inputs=dict.fromkeys(inputs, "0" * 16), options=options)
    return document.model_copy(update={"provenance": provenance})


DOCUMENTS: dict[Stage, Made] = {
    COMPARE: Comparison(device="pi", facts=sample.validation(TRUTH, 1.0).facts, space=TRUTH.space, configs=(), ways=()),
    PROFILE: made_of(sample.table(TRUTH), inputs=("prior",)),
    TRAIN: made_of(sample.losses(TRUTH), inputs=("weights to begin with",), seed=0, recipe="5 passes"),
    SEARCH: made_of(FOUND, inputs=("losses",)),
    JUDGE: made_of(sample.judged(TRUTH, FOUND), inputs=("search", "supernet")),
    EXPORT: made_of(sample.artifacts(TRUTH, FOUND.chosen.config), inputs=("weights", "images"), seed=0),
    VALIDATE: sample.validation(TRUTH, 10.0),
}


def about(factor: float) -> Budget:
    return FOUND.budget.model_copy(update={"latency_ms": factor * BUDGET_MS})


@pytest.mark.parametrize(
    ("stage", "known", "outcome"),
    [
        (COMPARE, {}, "done"),
        (COMPARE, {"device": "another"}, "to do"),
        (COMPARE, {"search space": small_space()}, "to do"),
        (PROFILE, {"threads": 4, "seed": 7, "budget": about(2)}, "threads: 4 here, 1 there."),
        (PROFILE, {"runtime_version": "9.9"}, "runtime_version: 9.9 here, "),
        (PROFILE, {"statistic": "p90"}, "statistic: p90 here, median there."),
        (PROFILE, {"search space": small_space()}, "network: small here, mobilenet_v1 there; "),
        (TRAIN, {"seed": 0, "recipe": "5 passes"}, "done"),
        (TRAIN, {"seed": 1}, "seed: 1 here, 0 there."),
        (TRAIN, {"recipe": "6 passes"}, "recipe: 6 passes here, 5 passes there."),
        (TRAIN, {"images": OTHER}, "images: not the same."),
        (TRAIN, {"weights to begin with": OTHER, "seed": 1}, "weights to begin with: not the same; seed: 1 here, "),
        (TRAIN, {"narrowing": Narrowing()}, "done"),
        (TRAIN, {"narrowing": "none"}, "narrowing: none here, some there."),
        (SEARCH, {"budget": about(1.02)}, "done"),
        (SEARCH, {"budget": about(1.05)}, "budget: "),
        (SEARCH, {"losses": Digest("1", changed="losses: it has changed")}, "run; losses: it has changed."),
        (JUDGE, {"configuration": TRUTH.space.smallest}, "to do"),
        (JUDGE, {"supernet": OTHER}, "to do"),
        (JUDGE, {"search": OTHER}, "to do"),
        (EXPORT, {"configuration": FOUND.chosen.config, "weights": Digest("0" * 16)}, "done"),
        (EXPORT, {"configuration": ChannelConfig((1, 2))}, "configuration: 1-2 here, "),
        (EXPORT, {"max_int8_drop_points": 2.5}, "max_int8_drop_points: 2.5 here, 1.0 there."),
        (EXPORT, {"weights": OTHER, "images": OTHER}, "weights: not the same; images: not the same."),
        (VALIDATE, {"model_int8.onnx": OTHER}, "done"),
        (VALIDATE, {"model_int8.tflite": OTHER}, "to do"),
        (VALIDATE, {"budget": about(0.5)}, "to do"),
    ],
)
def test_a_document_of_something_else(tmp_path: Path, stage: Stage, known: dict[str, Any], outcome: str) -> None:
    """Minutes are done again; hours, and what was made on purpose, are refused in one sentence."""
    folder = RunFolder(tmp_path)
    path = stage.document(folder)
    DOCUMENTS[stage].write(path)
    ledger = Ledger(folder, known)
    if outcome in {"done", "to do"}:
        assert ledger.is_done(stage) == (outcome == "done")
        return
    with pytest.raises(MismatchError) as error:
        ledger.is_done(stage)
    assert error.value.message.startswith(f"{path} is not of this run; ")
    assert outcome in error.value.message


@pytest.mark.parametrize("stage", DOCUMENTS)
def test_a_document_that_does_not_say_is_not_held_against_it(tmp_path: Path, stage: Stage) -> None:
    """Documents of older versions have no provenance; what their own fields say still counts."""
    folder = RunFolder(tmp_path)
    DOCUMENTS[stage].model_copy(update={"provenance": Provenance()}).write(stage.document(folder))
    known = {"losses": OTHER, "weights": OTHER, "supernet": OTHER, "seed": 9, "recipe": "another"}
    assert Ledger(folder, known).is_done(stage)


def test_weights_say_of_what_they_were_made(tmp_path: Path) -> None:
    """In the header of their file."""
    space, folder = small_space(), RunFolder(tmp_path)
    save_plain(
        PlainNetwork(space, space.smallest),
        folder.weights,
        provenance=Provenance(inputs={"images": "0"}, options={"seed": 0}),
    )
    known = {"search space": space, "configuration": space.smallest, "images": Digest("0"), "seed": 0}
    assert network_facts(folder.weights) == known
    assert Ledger(folder, known).is_done(FINETUNE)
    for changed, said in (
        ({"configuration": space.largest}, "configuration: 12-16 here, 4-4 there"),
        ({"images": OTHER, "seed": 1}, "images: not the same; seed: 1 here, 0 there"),
    ):
        with pytest.raises(MismatchError, match=said):
            Ledger(folder, known | changed).is_done(FINETUNE)
    save_plain(PlainNetwork(space, space.smallest), folder.weights)
    assert Ledger(folder, known | {"seed": 1}).is_done(FINETUNE)


def test_the_same_content_under_another_name_is_the_same() -> None:
    assert differences({"data": Digest("0", "here")}, {"data": Digest("0", "there")}) == []
    [other] = differences({"data": Digest("0", "here")}, {"data": Digest("1", "there")})
    assert (str(other), other.since) == ("data: here here, there there", "data was there, now here")


def test_what_follows_a_stage_is_remade_with_it(tmp_path: Path) -> None:
    """What was judged by a supernet, or measured of a file, is worthless without it; no stage's files are forgotten."""
    assert with_followers(TRAIN) == (TRAIN, JUDGE)
    assert with_followers(EXPORT) == (EXPORT, VALIDATE)
    assert with_followers(FINETUNE) == (FINETUNE,)
    folder = RunFolder(tmp_path)
    assert set(files_of(folder, STAGES)) < set(everything(folder))
    assert {folder.comparison, folder.prior, folder.evaluations, folder.weights_int8} < set(everything(folder))
    assert folder.measurements not in everything(folder)


def test_what_older_versions_kept_of_a_training_is_read(tmp_path: Path) -> None:
    """In losses and in the header of a supernet, under names of its own."""
    kept = {"data": "0123", "seed": 3, "recipe": "5 passes", "start": "", "sampler": "uniform"}
    path = tmp_path / "losses.json"
    content = json.loads(sample.losses(TRUTH).to_json()) | {"schema_version": 1, "training": kept}
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "provenance"}))
    inputs = {"images": "0123", "weights to begin with": "", "narrowing (its table, budget and schedule)": "uniform"}
    expected = Provenance(inputs=inputs, options={"seed": 3, "recipe": "5 passes"})
    assert UnaryLosses.read(path).provenance == expected
    header = {"schema": "edgewidth/supernet", "training": json.dumps(kept)}
    supernet = tmp_path / "supernet.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, supernet, {"edgewidth": json.dumps(header)})
    assert supernet_provenance(supernet) == expected
