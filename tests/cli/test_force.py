"""``--force`` replaces what the verb makes, once it is known that it can be made again; and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from report import sample
from small_table import small_table

from edgewidth.cli.main import exit_code
from edgewidth.files import write_atomic
from edgewidth.graph.families.registry import search_space
from edgewidth.stages.folder import RunFolder
from edgewidth.training.networks.plain import PlainNetwork
from edgewidth.training.networks.supernet import Supernet
from edgewidth.training.networks.weights import save_plain, save_supernet
from edgewidth.training.recipes import RECIPES, Phase, Recipe

if TYPE_CHECKING:
    from pathlib import Path

WIDTHS = ["--resolution", "32", "--max-width", "0.5", "--levels", "4"]
SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
TINY = Recipe("tiny", Phase(images=600, passes=0), Phase(images=600, passes=0), evaluations=12)

OF_TRAIN = ["supernet.safetensors", "losses.json", "training.jsonl", "judged.json"]
OF_TRAIN += [
    "checkpoints/supernet-000000007.safetensors",
    "checkpoints/narrowing-0123456789abcdef.json",
    "checkpoints/evaluations.jsonl",
]
OF_FINETUNE = ["weights.safetensors", "finetune.jsonl", "checkpoints/finetune-000000007.safetensors"]
OF_OTHERS = ["search.json", "checkpoints/int8-000000007.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Something of every verb; the files beside it are what may be given."""
    found = RunFolder(tmp_path / "out")
    for name in (*OF_TRAIN, *OF_FINETUNE, *OF_OTHERS):
        write_atomic(found.path / name, b"old")
    return found


def old(folder: RunFolder) -> set[str]:
    """What is as it was."""
    files = [file for file in folder.path.rglob("*") if file.is_file()]
    return {file.relative_to(folder.path).as_posix() for file in files if file.read_bytes() == b"old"}


@pytest.mark.parametrize(
    ("code", "verb", "message"),
    [
        (2, "train --weights {0}/broken.safetensors", "could not be read"),
        (2, "train --weights {0}/other.safetensors", "does not fit"),
        (2, "train --weights {0}/out/supernet.safetensors", "could not be read"),
        (2, "train --table {0}/other.json", "resolution: 32 here, 64 there"),
        (1, "train --table {0}/table.json --budget 0.001ms", "the fastest is predicted"),
        (2, "train --data nowhere", "does not exist"),
        (2, "finetune --config {1} --weights {0}/broken.safetensors", "could not be read"),
        (2, "finetune --config {1} --weights {0}/other.safetensors", "does not fit"),
        (2, "finetune --config {1} --supernet {0}/other.safetensors", "is not an edgewidth/supernet file"),
        (2, "finetune --config {1}", "could not be read"),
        (2, "finetune --config 8-8", "has 2 widths"),
        (2, "run --device fake --table {0}/broken.safetensors", "could not be read"),
        (2, "run --device fake --prior {0}/broken.safetensors", "could not be read"),
        (2, "profile --device fake --prior {0}/broken.safetensors", "could not be read"),
        (3, "profile --device local --set python=/nowhere/python", "does not work"),
    ],
)
def test_for_what_does_not_fit_nothing_is_removed(
    folder: RunFolder, tmp_path: Path, code: int, verb: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = old(folder)
    write_atomic(folder.run, b"old")
    write_atomic(folder.table, b"old")
    write_atomic(tmp_path / "broken.safetensors", b"\xff")
    other = search_space("mobilenet_v1", resolution=64, in_channels=3, num_classes=10, max_width=0.5, levels=4)
    save_plain(PlainNetwork(other, other.smallest), tmp_path / "other.safetensors")
    small_table(other).write(tmp_path / "other.json")
    small_table(SPACE).write(tmp_path / "table.json")
    arguments = verb.format(tmp_path, SPACE.smallest).split()
    assert exit_code([*arguments, *WIDTHS, "--force", "--out", str(folder.path)]) == code
    assert message in capsys.readouterr().err
    assert old(folder) == before | {"run.json", "table.json"}


@pytest.mark.parametrize("verb", ["run", "profile"])
def test_a_table_that_would_be_removed_is_needed(
    folder: RunFolder, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_table(SPACE).write(folder.table)
    write_atomic(folder.run, b"old")
    arguments = ["--device", "fake", "--prior", str(folder.table), "--force", "--out", str(folder.path)]
    assert exit_code([verb, *WIDTHS, *arguments]) == 2
    assert "which is needed" in capsys.readouterr().err
    assert folder.table.exists()
    assert "run.json" in old(folder)


def test_weights_to_begin_with_are_not_removed(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    save_supernet(Supernet(SPACE), folder.supernet)
    before = old(folder)
    assert exit_code(["train", *WIDTHS, "--weights", str(folder.supernet), "--force", "--out", str(folder.path)]) == 2
    assert "which is needed" in capsys.readouterr().err
    assert folder.supernet.exists()
    assert old(folder) == before


def test_each_verb_makes_its_own_again_and_leaves_the_others(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-done supernet goes on after another final training, and the other way round."""
    monkeypatch.setitem(RECIPES, "quick", TINY)
    options = [*WIDTHS, "--recipe", "quick", "--force", "--out", str(folder.path)]
    assert exit_code(["finetune", "--config", str(SPACE.smallest), "--from-scratch", *options]) == 0
    assert old(folder) == {*OF_TRAIN, *OF_OTHERS}
    write_atomic(folder.checkpoints / "finetune-000000007.safetensors", b"old")
    assert exit_code(["train", *options]) == 0
    assert old(folder) == {*OF_OTHERS, "checkpoints/finetune-000000007.safetensors"}


@pytest.mark.parametrize(
    ("own", "budgets"), [("out", ["--budget", "60%"]), ("out/30percent", ["--budget", "60%", "--budget", "30%"])]
)
def test_a_run_that_is_refused_tells_no_plan(
    tmp_path: Path, own: str, budgets: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose folder holds another run: neither what it would do nor how long that would take."""
    request = sample.run_request(sample.make_truth())
    (tmp_path / own).mkdir(parents=True)
    request.write(tmp_path / own / "run.json")
    assert exit_code(["run", "--device", "fake", *WIDTHS, *budgets, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / own} holds another run: " in said
    assert "train a supernet" not in said
