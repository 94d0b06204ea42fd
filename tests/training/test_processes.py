"""Two real processes train as one does, write each file once, and fail with one message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from process_worker import DATA, SPACE, first_gradients
from small_training import small_recipe, supernet_files

from edgewidth.cli.main import exit_code
from edgewidth.records.losses import UnaryLosses
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.rivals import FIRST
from edgewidth.training.evaluation import evaluate_losses
from edgewidth.training.loop.processes import ALONE, Processes, fails_first, join
from edgewidth.training.networks.inference import network_outputs
from edgewidth.training.networks.weights import load_plain
from edgewidth.training.train import train_supernet

TESTS = Path(__file__).parents[1]
PAIR = (Processes(0, 2), Processes(1, 2))


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes, each with as many threads as this one, so that they compute the same bits."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[dict[str, Any]]]:
    """The folder of two processes, and what each of them saw."""
    out = tmp_path_factory.mktemp("together")
    done = torchrun(str(TESTS / "process_worker.py"), str(out))
    assert done.returncode == 0, done.stderr
    return RunFolder(out), [json.loads((out / f"seen-{index}.json").read_text()) for index in range(2)]


def test_the_first_gradients_are_the_mean_of_the_shares(together: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    """Bit for bit those that one process gets from one share after the other; and both processes have them."""
    parts = [first_gradients(processes) for processes in PAIR]
    expected = ((parts[0] + parts[1]) / 2).tolist()
    assert not torch.equal(*parts)
    for seen in together[1]:
        assert seen["processes"] == 2
        assert seen["gradients"] == expected


def test_two_processes_know_the_same(together: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    """Losses gathered from both, and weights after every step of both."""
    first, second = together[1]
    assert first == second


def test_an_evaluation_that_is_shared_out_is_that_of_one_process(
    together: tuple[RunFolder, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """The same supernet, bit for bit the same losses, with an odd number of configurations to share out, too."""
    alone = RunFolder(tmp_path)
    alone.supernet.write_bytes(together[0].supernet.read_bytes())
    losses = evaluate_losses(SPACE, DATA, supernet=alone.supernet, evaluations=alone.evaluations, seed=0, most=8)
    assert losses.model_dump(mode="json") == together[1][0]["losses"]
    kept = [folder.checkpoints / "evaluations.jsonl" for folder in (alone, together[0])]
    assert kept[0].read_bytes() == kept[1].read_bytes()


def test_loss_statistics_are_those_of_one_process(
    together: tuple[RunFolder, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """What every width costs lies among what trainings alone with several seeds say, by their standard deviation."""

    def values(losses: dict[str, Any]) -> list[float]:
        return [value for variable in losses["variables"] for value in variable["values"][:-1]]

    alone = []
    for seed in range(5):
        folder = RunFolder(tmp_path / str(seed))
        train_supernet(SPACE, DATA, small_recipe(), seed=seed, **supernet_files(folder))
        losses = evaluate_losses(SPACE, DATA, supernet=folder.supernet, evaluations=folder.evaluations, seed=0, most=8)
        alone.append(values(losses.model_dump(mode="json")))
    scores = (values(together[1][0]["losses"]) - np.mean(alone, 0)) / np.std(alone, 0, ddof=1)
    assert np.sqrt(np.mean(scores**2)) < 2
    logs = [folder.training_log.read_text() for folder in (RunFolder(tmp_path / "0"), together[0])]
    lines = [[json.loads(line) for line in log.splitlines()] for log in logs]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    assert lines[1][0].keys() == lines[0][0].keys()
    for name in ("loss", "random", "minimum"):
        assert lines[1][1][name] == pytest.approx(lines[0][1][name], rel=0.05)


def test_two_killed_processes_end_as_two_unbroken_ones(together: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    """From the checkpoint that the first wrote and both read."""
    folder = together[0]
    assert RunFolder(folder.path / "broken").supernet.read_bytes() == folder.supernet.read_bytes()
    assert [seen["goes_on_from"] for seen in together[1]] == [10, 10]
    assert not list(folder.checkpoints.glob("*.safetensors"))


def test_two_processes_race_rivals(together: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    """Both know what every rival scored, on holdout images shared by both; the first alone writes it down."""
    folder, (first, second) = together
    assert first["rivals"] == second["rivals"]
    assert len({rival["config"] for rival in first["rivals"]}) == len(first["rivals"]) >= FIRST
    assert all(np.isfinite(rival["losses"]).all() for rival in first["rivals"])
    written = UnaryLosses.read(folder.losses).rivals
    assert written is not None
    assert [rival.model_dump(mode="json") for rival in written.rivals] == first["rivals"]


def test_two_processes_finetune(together: tuple[RunFolder, list[dict[str, Any]]]) -> None:
    """The network that they wrote has learned."""
    assert DATA.task.score(network_outputs(load_plain(together[0].weights), DATA.test.images), DATA.test.targets) > 90


FAILING = """
import sys
from edgewidth.cli.main import exit_code
from edgewidth.errors import TrainingError
from edgewidth.training.loop import loop
from edgewidth.training.loop.processes import join

def check(*_, **__):
    if join().index == 1:
        raise TrainingError("The second has had enough.")

loop.Guard.check = check
sys.exit(exit_code(sys.argv[1:]))
"""


def test_an_error_of_one_ends_all_with_one_message(tmp_path: Path) -> None:
    """Through the command line: the other one notices that it is alone, and leaves the talking to who failed."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (120, 32, 32, 1)).astype(np.uint8), np.arange(120) % 2
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    (tmp_path / "failing.py").write_text(FAILING)
    out = tmp_path / "out"
    done = torchrun(
        str(tmp_path / "failing.py"),
        *("train", "--data", str(tmp_path / "data.npz"), "--recipe", "quick", "--out", str(out)),
    )
    assert done.returncode != 0
    assert done.stderr.count("Error: The second has had enough.") == 1
    assert done.stderr.count("Error: ") - done.stderr.count("ChildFailedError: ") == 1
    assert done.stdout == ""


def test_what_several_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes would measure each other."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert exit_code(["devices", "list"]) == 2
    assert "Several processes cannot do devices together." in capsys.readouterr().err


def test_alone_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own does everything itself, and always tells its errors."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() == ALONE
    assert fails_first()
    assert ALONE.map(abs, [-1, -2, -3]) == [1, 2, 3]
