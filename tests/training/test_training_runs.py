"""Trainings learn, repeat with their seed, go on where they were killed, and stop when they go wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
import torch
from small_training import KillAfter, Killed, small_data, small_recipe, small_space, supernet_files
from torch.nn import functional

from edgewidth.data.augmentation import Augmentation
from edgewidth.errors import FileError, MismatchError, TrainingError
from edgewidth.graph.families.registry import search_space
from edgewidth.graph.space import ChannelConfig
from edgewidth.progress import SILENT
from edgewidth.stages.folder import RunFolder
from edgewidth.training.evaluation import Evaluator, evaluate_losses
from edgewidth.training.finetune import finetune_network
from edgewidth.training.loop import loop
from edgewidth.training.loop.optimise import Optimiser
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.weights import load_plain, load_supernet, save_plain
from edgewidth.training.recipes import RECIPES, Recipe, load_recipe
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.progress import Progress
    from edgewidth.training.networks.supernet import Moments, Supernet

SPACE = small_space()
DATA = small_data()


def _train(path: Path, progress: Progress = SILENT, *, seed: int = 0) -> RunFolder:
    folder = RunFolder(path)
    train_supernet(SPACE, DATA, small_recipe(), seed=seed, progress=progress, **supernet_files(folder))
    return folder


EVERYTHING = replace(
    small_recipe(),
    finetune=replace(small_recipe().finetune, distillation=0.5, augmentation=Augmentation(mixup=0.2)),
)
"""Mixup and distillation from the maximum network, beside averaging."""


def _finetune(
    folder: RunFolder,
    name: str,
    *,
    supernet: Path | None,
    recipe: Recipe = small_recipe(),  # noqa: B008  frozen
    progress: Progress = SILENT,
) -> PlainNetwork:
    return finetune_network(
        SPACE,
        ChannelConfig((8, 12)),
        DATA,
        recipe,
        supernet=supernet,
        weights_out=folder.path / name,
        log=folder.finetune_log,
        checkpoints=folder.checkpoints,
        seed=0,
        progress=progress,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trained supernet."""
    return _train(tmp_path_factory.mktemp("trained"))


def test_a_supernet_learns(trained: RunFolder) -> None:
    """The loss falls over the epochs, and every line of the log can be read."""
    lines = [json.loads(line) for line in trained.training_log.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1]["loss"] < 0.5 < lines[0]["loss"]
    assert np.isfinite([line["excess"] for line in lines]).all()
    assert not list(trained.checkpoints.glob("*.safetensors"))


def test_a_seed_repeats(trained: RunFolder, tmp_path: Path) -> None:
    """The same seed gives the same file, bit for bit."""
    assert _train(tmp_path).supernet.read_bytes() == trained.supernet.read_bytes()


@pytest.mark.parametrize("steps", [2, 11])
def test_a_killed_training_ends_as_the_unbroken_one(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Killed in the middle of an epoch, it goes on from its last checkpoint to the same bits."""
    monkeypatch.setattr(loop, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        _train(tmp_path, progress=KillAfter(steps))
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2
    progress = KillAfter()
    assert _train(tmp_path, progress).supernet.read_bytes() == trained.supernet.read_bytes()
    assert progress.goes_on_from == steps + 1


def test_a_damaged_checkpoint_is_passed_over(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is one that is none of this training's: the one before them is used."""
    monkeypatch.setattr(loop, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        _train(tmp_path, progress=KillAfter(7))
    last = max((tmp_path / "checkpoints").glob("*.safetensors"))
    last.write_bytes(last.read_bytes()[:1000])
    last.with_name(last.name.replace("000000008", "999999999")).write_bytes(trained.supernet.read_bytes())
    progress = KillAfter()
    assert _train(tmp_path, progress).supernet.read_bytes() == trained.supernet.read_bytes()
    assert progress.goes_on_from == 7


def test_trainings_that_were_given_up_do_not_disturb_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with one seed, then earlier with another: each goes on from its own last step."""
    monkeypatch.setattr(loop, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    for seed, steps in ((0, 12), (1, 7)):
        with pytest.raises(Killed):
            _train(tmp_path, KillAfter(steps), seed=seed)
    for seed, first in ((0, 13), (1, 8)):
        progress = KillAfter(16 - first)
        with pytest.raises(Killed):
            _train(tmp_path, progress, seed=seed)
        assert progress.goes_on_from == first
    _train(tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*.safetensors"))


def test_a_diverging_training_stops(tmp_path: Path) -> None:
    """A learning rate without measure ends with what to change."""
    recipe = small_recipe(learning_rate=1e6, clip_norm=1e9, warmup=0.0)
    with pytest.raises(TrainingError) as error:
        train_supernet(SPACE, DATA, recipe, seed=0, **supernet_files(RunFolder(tmp_path)))
    assert "learning rate" in error.value.message
    assert error.value.remedy is not None


def test_numbers_without_end_stop_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is not finite is noticed in its epoch, with where and what to change."""
    whole = Optimiser.step

    def spoiled(self: Optimiser, step: int) -> None:
        self.gradients[0] = float("nan")
        whole(self, step)

    monkeypatch.setattr(Optimiser, "step", spoiled)
    with pytest.raises(TrainingError, match="no longer finite, in epoch 1 ") as error:
        train_supernet(SPACE, DATA, small_recipe(), seed=0, **supernet_files(RunFolder(tmp_path)))
    assert "lower `learning_rate`" in str(error.value.remedy)


def test_evaluation_repeats_and_keeps_what_it_has(trained: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed evaluation goes on where it stopped, and the losses are those of an unbroken one."""
    evaluate = partial(
        evaluate_losses, SPACE, DATA, supernet=trained.supernet, evaluations=trained.evaluations, seed=0, most=8
    )
    with pytest.raises(Killed):
        evaluate(progress=KillAfter(5))
    kept = (trained.checkpoints / "evaluations.jsonl").read_text().splitlines()
    calls = []
    whole = Evaluator.loss

    def counted(self: Evaluator, config: ChannelConfig) -> float:
        calls.append(config)
        return whole(self, config)

    monkeypatch.setattr(Evaluator, "loss", counted)
    losses = evaluate()
    assert len(calls) == 9 - (len(kept) - 1)
    (trained.checkpoints / "evaluations.jsonl").unlink()
    assert evaluate() == losses
    held_out = [config for held in losses.held_out for config in held.evaluated]
    assert len({one.config for one in (*losses.fitted, *held_out)}) == 8
    assert [held.kind for held in losses.held_out] == ["random", "near the budget"]
    assert losses.images == len(DATA.search.targets)


def test_the_evaluated_loss_is_that_of_the_configuration_as_a_network(trained: RunFolder) -> None:
    """An evaluation equals making the plain network, fixing its statistics and running it."""
    config = ChannelConfig((4, 12))
    supernet = load_supernet(trained.supernet, SPACE)
    network = PlainNetwork.from_supernet(supernet, config)
    images = DATA.train.images
    found: dict[str, Moments] = {}
    with torch.no_grad():
        network(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, found)
    network.set_moments(found)
    expected = functional.cross_entropy(
        torch.from_numpy(network_outputs(network, DATA.search.images)), torch.from_numpy(DATA.search.targets)
    )
    assert Evaluator(supernet, DATA).loss(config) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("warm", [True, False])
def test_finetuning_learns_and_its_file_is_the_network(trained: RunFolder, tmp_path: Path, *, warm: bool) -> None:
    """From the supernet and from scratch; what is read back computes the same."""
    network = _finetune(RunFolder(tmp_path), "w.safetensors", supernet=trained.supernet if warm else None)
    assert DATA.task.score(network_outputs(network, DATA.test.images), DATA.test.targets) > 90
    again = load_plain(tmp_path / "w.safetensors")
    assert np.array_equal(network_outputs(again, DATA.test.images), network_outputs(network, DATA.test.images))
    assert again.config == ChannelConfig((8, 12))


def test_a_killed_finetuning_ends_as_the_unbroken_one(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With averaged weights, mixed images and a teacher, too."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    folder = RunFolder(tmp_path)
    _finetune(folder, "unbroken.safetensors", supernet=trained.supernet, recipe=EVERYTHING)
    with pytest.raises(Killed):
        _finetune(folder, "broken.safetensors", supernet=trained.supernet, recipe=EVERYTHING, progress=KillAfter(9))
    progress = KillAfter()
    _finetune(folder, "broken.safetensors", supernet=trained.supernet, recipe=EVERYTHING, progress=progress)
    assert progress.goes_on_from == 10
    assert (tmp_path / "broken.safetensors").read_bytes() == (tmp_path / "unbroken.safetensors").read_bytes()


def test_weights_that_do_not_belong(trained: RunFolder, tmp_path: Path) -> None:
    """Another space, another kind of file, no file."""
    other = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=3)
    with pytest.raises(MismatchError):
        load_supernet(trained.supernet, other)
    with pytest.raises(FileError, match="not an edgewidth/weights file"):
        load_plain(trained.supernet)
    (tmp_path / "broken").write_bytes(b"no tensors")
    for path in (tmp_path / "broken", tmp_path / "nowhere"):
        with pytest.raises(FileError):
            load_plain(path)
    save_plain(PlainNetwork(SPACE, SPACE.smallest), tmp_path / "plain")
    assert load_plain(tmp_path / "plain").config == SPACE.smallest


def test_recipes() -> None:
    """Small data sets are passed many times, large ones few; an unknown name is said."""
    phase = RECIPES["standard"].supernet
    assert phase.epochs(1000) > 3 * phase.epochs(50_000)
    assert replace(phase, images=0, passes=1).epochs(7) == 1
    with pytest.raises(Exception, match="Unknown recipe 'slow'"):
        load_recipe("slow")


def test_finetuning_with_everything_on_learns(trained: RunFolder, tmp_path: Path) -> None:
    """Mixup and distillation from the maximum network, too."""
    network = _finetune(RunFolder(tmp_path), "w.safetensors", supernet=trained.supernet, recipe=EVERYTHING)
    assert DATA.task.score(network_outputs(network, DATA.test.images), DATA.test.targets) > 90


def test_configurations_come_from_the_given_sampler(tmp_path: Path) -> None:
    """A sampler is asked with a generator of its own and how much of training is over."""

    class Narrow:
        identity = "narrow"
        asked: ClassVar[list[float]] = []

        def __call__(self, rng: np.random.Generator, done: float, supernet: Supernet) -> ChannelConfig:
            self.asked.append(done)
            return supernet.space.sample(rng)

    train_supernet(SPACE, DATA, small_recipe(), seed=0, sampler=Narrow(), **supernet_files(RunFolder(tmp_path)))
    asked = Narrow.asked
    assert asked == sorted(asked)
    assert asked[0] == 0
    assert 0.9 < asked[-1] < 1
    assert len(asked) == 2 * 20
