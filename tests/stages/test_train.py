"""A supernet that is there already is used for what it was trained for, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from small_table import small_table
from small_training import KillAfter, Killed, small_data, small_recipe, small_space

from edgewidth.errors import InputError, MismatchError
from edgewidth.records.budget import Budget
from edgewidth.records.provenance import Provenance
from edgewidth.records.run import Narrowing
from edgewidth.records.training import IMAGES, NARROWING, SEED, START
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.train import Aim, train

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.data.split import ImageData
    from edgewidth.graph.space import SearchSpace

SPACE, RECIPE = small_space(), small_recipe()
TABLE = small_table(SPACE)
AIM = Aim(TABLE, Budget(latency_ms=0.1012))


@pytest.fixture
def data() -> ImageData:
    return small_data()


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("uniform"))
    train(SPACE, small_data(), RECIPE, folder)
    return folder


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("narrowed"))
    train(SPACE, small_data(), RECIPE, folder, aim=AIM)
    return folder


def of_size(size: int) -> SearchSpace:
    """The small space with so many configurations: one width alone is searched."""
    a, b = SPACE.variables
    variables = (a.model_copy(update={"choices": a.choices[:1]}), b.model_copy(update={"choices": b.choices[:size]}))
    return SPACE.model_copy(update={"variables": variables})


@pytest.mark.parametrize("force", [False, True])
def test_where_nothing_can_be_chosen_nothing_is_trained_or_removed(
    force: bool, data: ImageData, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    folder.losses.write_text("of another space")
    with pytest.raises(InputError, match=r"^These widths leave one configuration, 4-4: there is nothing to search"):
        train(of_size(1), data, RECIPE, folder, force=force)
    assert [path.name for path in tmp_path.iterdir()] == [folder.losses.name]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_smallest_spaces_have_losses(size: int, data: ImageData, tmp_path: Path) -> None:
    losses = train(of_size(size), data, RECIPE, RunFolder(tmp_path))
    assert [len(variable.choices) for variable in losses.space.variables] == [1, size]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": replace(small_data(), fingerprint="0" * 16)}, "otherwise; images: not the same."),
        ({"recipe": small_recipe(learning_rate=0.5)}, "otherwise; recipe: not the same."),
        ({"seed": 1}, "otherwise; seed: 1 here, 0 there."),
        ({"aim": AIM}, "otherwise; narrowing (its table, budget and schedule): not the same."),
    ],
)
def test_a_supernet_of_another_training_is_refused(
    uniform: RunFolder, data: ImageData, change: dict[str, Any], message: str
) -> None:
    """Its search and judge images may be those that another seed trains on; its losses stay."""
    before = uniform.losses.read_bytes()
    arguments: dict[str, Any] = {"data": data, "recipe": RECIPE} | change
    with pytest.raises(MismatchError) as error:
        train(SPACE, folder=uniform, **arguments)
    assert error.value.message.endswith(message)
    assert uniform.losses.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aim": None}, "narrowing"),
        ({"aim": replace(AIM, budget=Budget(latency_ms=0.102))}, "narrowing"),
        ({"aim": replace(AIM, narrowing=Narrowing(begin=0.5))}, "narrowing"),
        ({"aim": replace(AIM, table=TABLE.model_copy(update={"offset_ms": 1.0001 * TABLE.offset_ms}))}, "narrowing"),
        ({"seed": 1}, "seed: 1 here, 0 there."),
    ],
)
def test_a_narrowed_supernet_serves_its_table_and_budget_alone(
    narrowed: RunFolder, data: ImageData, change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"aim": AIM} | change
    with pytest.raises(MismatchError) as error:
        train(SPACE, data, RECIPE, narrowed, **arguments)
    assert f"otherwise; {message}" in error.value.message


def test_losses_say_what_the_supernet_was_trained_with(
    uniform: RunFolder, narrowed: RunFolder, data: ImageData
) -> None:
    """Finished trainings are used again."""
    plain, for_budget = train(SPACE, data, RECIPE, uniform), train(SPACE, data, RECIPE, narrowed, aim=AIM)
    assert plain.provenance.inputs == {IMAGES: data.fingerprint, START: "", NARROWING: "uniform"}
    assert plain.provenance.options[SEED] == 0
    assert plain.narrowed is None
    assert plain.narrowing == ()
    assert for_budget.narrowed is not None
    assert for_budget.narrowed.budget == AIM.budget
    assert for_budget.narrowed.schedule == AIM.narrowing
    assert len(for_budget.narrowing) == 4


def test_a_uniform_supernet_is_not_taken_for_the_narrowed_one_that_was_killed_before_it(
    data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the killed one has left of its narrowing says nothing of the one that was finished."""
    monkeypatch.setattr("edgewidth.training.loop.loop.CHECKPOINT_SECONDS", 0.0)
    folder = RunFolder(tmp_path)
    with pytest.raises(Killed):
        train(SPACE, data, RECIPE, folder, aim=AIM, progress=KillAfter(26))
    assert list(folder.checkpoints.glob("narrowing-*"))
    train(SPACE, data, RECIPE, folder)
    with pytest.raises(MismatchError, match="otherwise; narrowing"):
        train(SPACE, data, RECIPE, folder, aim=AIM)


def test_what_a_narrowing_evaluated_is_of_one_recipe_and_one_start(
    uniform: RunFolder, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one evaluates anew: it ends as if the other had never been."""
    monkeypatch.setattr("edgewidth.training.loop.loop.CHECKPOINT_SECONDS", 0.0)
    clean, after = RunFolder(tmp_path / "clean"), RunFolder(tmp_path / "after")
    with pytest.raises(Killed):
        train(SPACE, data, small_recipe(learning_rate=0.5), after, aim=AIM, progress=KillAfter(26))
    assert list(after.checkpoints.glob("narrowing-*"))
    losses = [train(SPACE, data, RECIPE, folder, aim=AIM, weights=uniform.supernet) for folder in (after, clean)]
    assert losses[0] == losses[1]


def test_a_supernet_of_ones_own_is_used(data: ImageData, tmp_path: Path) -> None:
    """It does not say what it was trained with, and so neither do its losses; for a narrowed one it does not pass."""
    from edgewidth.training.networks.supernet import Supernet
    from edgewidth.training.networks.weights import save_supernet

    folder = RunFolder(tmp_path)
    save_supernet(Supernet(SPACE, seed=5), folder.supernet)
    losses = train(SPACE, data, RECIPE, folder, seed=3)
    assert losses.provenance == Provenance()
    with pytest.raises(MismatchError, match="otherwise; narrowing"):
        train(SPACE, data, RECIPE, folder, seed=3, aim=AIM)
