"""A recipe at another learning rate is another recipe, whose training is not mixed with that of the first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from small_training import KillAfter, Killed, small_data, small_recipe, small_space, supernet_files

from edgewidth.cli.main import exit_code
from edgewidth.errors import InputError
from edgewidth.graph.families.mobilenet_v1 import WIDTHS
from edgewidth.stages.folder import RunFolder
from edgewidth.training.loop import loop
from edgewidth.training.recipes import RECIPES, Recipe
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_at_another_learning_rate_is_another(name: str) -> None:
    """Everything else stays; at its own rate it is itself."""
    recipe = RECIPES[name]
    changed = recipe.at(0.1)
    assert changed.name == f"{name} at a learning rate of 0.1"
    assert (changed.supernet, changed.finetune, changed.int8) == tuple(
        replace(phase, learning_rate=rate)
        for phase, rate in ((recipe.supernet, 0.1), (recipe.finetune, 0.1), (recipe.int8, 0.001))
    )
    assert recipe.at(recipe.finetune.learning_rate) is recipe


@pytest.mark.parametrize(
    ("verb", "stage"),
    [
        ("run --device fake", "edgewidth.stages.run.run"),
        ("train", "edgewidth.stages.train.train"),
        (f"finetune --config {'-'.join(map(str, WIDTHS))}", "edgewidth.stages.finetune.finetune"),
    ],
)
def test_the_option_reaches_the_training(
    verb: str, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And what a run writes down of itself, which tells it from a run at the recipe's own rate."""
    found: list[tuple[Recipe, str]] = []

    def asked(*arguments: Any, **_: Any) -> None:
        [recipe] = [one if isinstance(one, Recipe) else one.recipe for one in arguments if _has_recipe(one)]
        [named] = [one.request.recipe for one in arguments if hasattr(one, "request")] or [recipe.name]
        found.append((recipe, named))
        raise InputError("enough")

    monkeypatch.setattr(stage, asked)
    assert exit_code([*verb.split(), "--recipe", "quick", "--learning-rate", "0.25", "--out", str(tmp_path)]) == 2
    expected = RECIPES["quick"].at(0.25)
    assert found == [(expected, expected.name)]


def _has_recipe(argument: object) -> bool:
    return isinstance(argument, Recipe) or hasattr(argument, "recipe")


def test_a_training_is_not_gone_on_with_at_another_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as one that began at that rate."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    space, data, recipe = small_space(), small_data(), small_recipe()
    folder, fresh = RunFolder(tmp_path / "changed"), RunFolder(tmp_path / "fresh")
    with pytest.raises(Killed):
        train_supernet(space, data, recipe, seed=0, progress=KillAfter(9), **supernet_files(folder))
    assert list(folder.checkpoints.glob("supernet-*"))
    for other in (folder, fresh):
        train_supernet(space, data, recipe.at(0.5), seed=0, **supernet_files(other))
    assert folder.supernet.read_bytes() == fresh.supernet.read_bytes()
