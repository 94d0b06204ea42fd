"""Rivals are trained briefly, the losses learn from them, and what was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from small_table import small_table
from small_training import KillAfter, Killed, small_data, small_recipe, small_space

from edgewidth.losses.correction import loss_factors
from edgewidth.losses.record import supernet_factors
from edgewidth.records.budget import Budget
from edgewidth.records.losses import UnaryLosses
from edgewidth.stages import rivals as stage
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.rivals import FIRST, RUNGS, SECOND, learn_from_rivals, race_steps, schedule
from edgewidth.stages.train import Aim, train
from edgewidth.training import finetune
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import save_plain
from edgewidth.training.recipes import Phase

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.graph.space import ChannelConfig
    from edgewidth.progress import Progress

SPACE = small_space()
TABLE = small_table(SPACE)
BUDGET = Budget(latency_ms=0.11)
DATA = small_data()
RECIPE = small_recipe()
RECIPE = replace(RECIPE, finetune=replace(RECIPE.finetune, passes=40))
SHARE = 1.0


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "FEWEST_STEPS", 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("trained"))
    train(SPACE, DATA, RECIPE, folder, aim=Aim(TABLE, BUDGET, None))
    return folder


def learn(folder: RunFolder, progress: Progress | None = None, share: float = SHARE) -> UnaryLosses:
    losses = UnaryLosses.read(folder.losses)
    more = {"progress": progress} if progress else {}
    return learn_from_rivals(TABLE, losses, BUDGET, DATA, RECIPE, folder, share=share, seed=0, **more)


def copied(folder: RunFolder, to: Path) -> RunFolder:
    shutil.copytree(folder.path, to)
    return RunFolder(to)


@pytest.fixture(scope="module")
def learned(trained: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = copied(trained, tmp_path_factory.mktemp("learned") / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "FEWEST_STEPS", 8)
        learn(folder)
    return folder


def test_half_of_them_are_dropped_at_every_rung(learned: RunFolder) -> None:
    """Of two races on one schedule, the worse half each time; and everything that is known of them is kept."""
    losses = UnaryLosses.read(learned.losses)
    rivals = losses.rivals
    assert rivals is not None
    first, second = ([one for one in rivals.rivals if one.race == race] for race in (1, 2))
    assert 4 <= len(first) <= FIRST  # the small space has 12 configurations in all
    assert 1 <= len(second) <= SECOND
    for race in (first, second):
        lengths = sorted(len(one.losses) for one in race)
        assert lengths == sorted(reached(len(race)))
        for rung in range(2):
            there = [one for one in race if len(one.losses) > rung]
            on = [one.losses[rung] for one in there if len(one.losses) > rung + 1]
            out = [one.losses[rung] for one in there if len(one.losses) == rung + 1]
            assert max(on) <= min(out, default=max(on))
    assert len({one.config for one in rivals.rivals}) == len(rivals.rivals)
    assert any("exact" in one.methods for one in first)
    assert any("greedy" in one.methods for one in first)
    assert losses.made_of["rivals"] == SHARE
    assert not list(learned.checkpoints.glob("rivals-*"))


def reached(count: int) -> list[int]:
    """How many rungs each of a race reaches, by halving with a pencil."""
    second = (count + 1) // 2
    third = (second + 1) // 2
    return [3] * third + [2] * (second - third) + [1] * (count - second)


def test_the_search_takes_the_corrected_losses(learned: RunFolder) -> None:
    losses = UnaryLosses.read(learned.losses)
    assert losses.rivals is not None
    values = [factor.values.tolist() for factor in loss_factors(losses)]
    before = [factor.values.tolist() for factor in supernet_factors(losses)]
    assert (values != before) is losses.rivals.correction.is_sure


def test_an_interrupted_race_goes_on_to_the_same_losses(trained: RunFolder, learned: RunFolder, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path / "out")
    steps = schedule(DATA, RECIPE.finetune, SHARE, compared=False)
    with pytest.raises(Killed):
        learn(folder, KillAfter(3.5 * steps[0]))
    assert len(folder.rival_scores.read_text().splitlines()) > 2
    assert UnaryLosses.read(folder.losses).rivals is None
    again, unbroken = learn(folder).rivals, UnaryLosses.read(learned.losses).rivals
    assert again is not None
    assert unbroken is not None
    assert again.rivals == unbroken.rivals
    assert again.correction == unbroken.correction


def test_scores_of_another_supernet_are_not_taken(trained: RunFolder, learned: RunFolder, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path / "out")
    head, *lines = learned.rival_scores.read_text().splitlines()
    scores = [json.loads(line) | {"loss": 99.0} for line in lines]
    text = "\n".join([head.replace(json.loads(head)["identity"], "0" * 16), *map(json.dumps, scores)])
    folder.rival_scores.write_text(text)
    found = learn(folder).rivals
    assert found is not None
    assert max(loss for one in found.rivals for loss in one.losses) < 99


def test_each_rival_finds_out_once_how_it_begins(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both beginnings of it are judged before its first step, and not again at later rungs."""
    folder = copied(trained, tmp_path / "out")
    save_plain(PlainNetwork(SPACE, SPACE.largest), folder.trained)
    judged: Counter[ChannelConfig] = Counter()
    judge = finetune._loss

    def counted(network: PlainNetwork, *others: Any) -> float:
        judged[network.config] += 1
        return judge(network, *others)

    monkeypatch.setattr(finetune, "_loss", counted)
    rivals = learn(folder, share=2.0).rivals
    assert rivals is not None
    assert max(len(one.losses) for one in rivals.rivals) == len(RUNGS)
    assert judged == {one.config: 2 for one in rivals.rivals}


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_a_schedule_costs_what_it_may(share: float, compared: bool) -> None:
    """Counted race by race; looking at an image costs half of training on it, and two beginnings are looked at."""
    data = small_data(train=9000)
    rungs = schedule(data, Phase(images=0, passes=10, batch=64), share, compared=compared)
    final = 10 * (9000 // 64) * 64
    trained = looked = 0
    for entrants in (FIRST, SECOND):
        alive = entrants
        looked += 2 * entrants * (256 + len(data.search)) if compared else 0
        for rung, until in enumerate(rungs):
            trained += alive * 64 * (until - (rungs[rung - 1] if rung else 0))
            looked += alive * (256 + len(data.holdout))
            alive = (alive + 1) // 2
    assert 0.9 * share <= (trained + looked / 2) / final <= 1.01 * share
    assert sum(race_steps(count, rungs) for count in (FIRST, SECOND)) * 64 == trained
    assert [round(rung / rungs[-1], 2) for rung in rungs] == pytest.approx(RUNGS, abs=0.02)


def test_too_small_a_share_leaves_the_losses_as_they_are(trained: RunFolder, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path / "out")
    progress = KillAfter()
    assert learn(folder, progress, share=0.01) == UnaryLosses.read(trained.losses)
    assert any("No rivals are trained" in text for text in progress.said)
