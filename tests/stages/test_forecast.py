"""What a run says that it will do, and how long that takes at a speed that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from report import sample
from small_training import small_data, small_recipe, small_space

from edgewidth.graph.costs import costs
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.provenance import Provenance
from edgewidth.records.training import START
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.forecast import about_text, forecast
from edgewidth.stages.profile import ProfilePlan
from edgewidth.stages.request import make_request
from edgewidth.stages.run import Job
from edgewidth.stages.target import make_target
from edgewidth.training import speed
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import save_supernet
from edgewidth.training.speed import Speed

if TYPE_CHECKING:
    from pathlib import Path

SPACE, DATA = small_space(), small_data()


def make_job(budget: str = "60%") -> Job:
    recipe, target = small_recipe(), make_target("fake")
    request = make_request(
        target, SPACE, DATA, recipe, budget=BudgetRequest.parse(budget), rivals=0.5, seed=0, command="edgewidth run"
    )
    return Job(request, target, DATA, recipe)


def at(found: Speed | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "measure_speed", lambda *_: found)


def told(job: Job, folder: RunFolder, *, force: bool = False) -> list[str]:
    return [step.how_long for step in forecast(job, folder, force=force)]


def test_every_step_is_as_long_as_its_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times four batches; a step of the supernet is the maximum, two others, and every fourth time the minimum.

    11 evaluations look at 60 images and at 128 for statistics, in batches of 256 and at half the price. The shortest
    schedule of rivals is longer than the final training. All 12 networks are visited four times for 0.12 s.
    """
    at(Speed(pass_s=20.0, mac_s=0.0), monkeypatch)
    steps = forecast(make_job(), RunFolder(tmp_path))
    assert [step.how_long for step in steps] == [
        "6 s at least, 10 min 00 s at most",
        "about 22 min",  # 20 × 3.25 × 20 s
        "about 1 min 15 s at most, and what measuring takes",  # 11 × 188 / 256 × 10 s
        "about 6 min 45 s",  # 20 × 20 s
        "",
    ]
    assert "5 times 128 images" in str(steps[1])
    assert "5 times 128 images" in str(steps[3])


def test_a_supernet_that_began_with_trained_weights_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given now, or found in the folder without being named again; its recipe trains otherwise."""
    at(Speed(pass_s=20.0, mac_s=0.0), monkeypatch)
    weights = tmp_path / "given.safetensors"
    weights.write_bytes(b"given")
    job = make_job()
    trained = replace(job.recipe.trained, finetune=replace(job.recipe.finetune, passes=10))
    job = replace(job, recipe=replace(job.recipe, trained=trained))
    begun = told(replace(job, weights=weights), RunFolder(tmp_path))
    assert begun[1] == "about 23 min"  # 20 × 3 × 20 s, and eight steps of the network itself
    assert begun[3] == "about 13 min"  # twice as long as from random weights
    folder = RunFolder(tmp_path)
    save_supernet(Supernet(SPACE), folder.supernet, provenance=Provenance(inputs={START: "0123"}))
    found = forecast(job, folder)
    assert [found[1].how_long, found[3].how_long] == ["done", "about 13 min"]
    assert "10 times 128 images" in str(found[3])


def test_the_chosen_network_is_as_large_as_its_budget_lets_a_uniform_one_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget in milliseconds says nothing of that: the uniform 1.0 network stands for it."""
    full, folder = costs(SPACE, SPACE.uniform(1.0)).macs, RunFolder(tmp_path)
    at(Speed(pass_s=0.0, mac_s=3600 / (5 * 128 * full)), monkeypatch)
    assert told(make_job("100ms"), folder)[3] == told(make_job("100%"), folder)[3] == "about 1 h"
    within = told(make_job("60%"), folder)[3]
    least = 3600 * costs(SPACE, SPACE.smallest).macs / full
    assert within in {about_text(seconds) for seconds in range(int(least), 36 * 60)}


def test_what_is_not_known_has_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(None, monkeypatch)
    job = replace(make_job(), profile_plan=ProfilePlan(time_budget_s=5))
    assert told(job, RunFolder(tmp_path)) == ["5 s at most", "", "", "", ""]


def test_what_is_done_is_said_and_nothing_is_tried_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sample.sample_folder(tmp_path)
    folder.weights.write_bytes(b"weights")
    save_supernet(Supernet(SPACE), folder.supernet)
    at(Speed(pass_s=20.0, mac_s=0.0), monkeypatch)
    assert "done" not in told(make_job(), folder, force=True)
    monkeypatch.delattr(speed, "measure_speed")
    assert told(make_job(), folder) == ["done"] * 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about 5 s"),
        (58, "about 1 min"),
        (93, "about 1 min 30 s"),
        (1234, "about 21 min"),
        (3550, "about 59 min"),
        (11_000, "about 3 h"),
        (40_000, "about 11 h 10 min"),
    ],
)
def test_a_duration_is_told_as_exactly_as_it_is_known(seconds: float, text: str) -> None:
    assert about_text(seconds) == text
