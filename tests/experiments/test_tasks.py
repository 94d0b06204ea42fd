"""What an experiment consists of, in which order it is done, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import equal_latency
import numpy as np
import pytest
from choosing import Choice
from protocol import Experiment
from small_experiment import MEASURED, small_experiment
from small_training import KillAfter, Killed
from spent import Spent
from tasks import Task, all_tasks

from edgewidth.errors import InputError
from edgewidth.graph.costs import costs
from edgewidth.graph.space import ChannelConfig
from edgewidth.training.recipes import FromTrained


def test_a_machine_may_train_some_of_the_supernets_alone(tmp_path: Path) -> None:
    """What all share, and what is theirs."""
    protocol = small_experiment(tmp_path, "greedy", "corrected").protocol.model_copy(update={"supernets": 3})
    experiment = Experiment.begin(tmp_path / "three", protocol)
    some, every = ({task.name for task in all_tasks(experiment, these)} for these in ([1, 2], None))
    assert {name for name in every if not name.endswith("-0")} == some
    assert {"table", "supernet-1", "rivals-corrected-0.5-2", "choice-greedy-0.5-2"} < some


def test_a_supernet_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is measured."""
    protocol = small_experiment(tmp_path, "uniform").protocol
    monkeypatch.setattr(equal_latency, "_protocol", lambda _: protocol)
    options = argparse.Namespace(only_supernets=[0, 1], folder=tmp_path / "new")
    with pytest.raises(InputError, match="no supernet 1: they are 0 to 0"):
        equal_latency.run(options)
    assert not options.folder.exists()


def test_methods_that_chose_alike_share_a_network(tmp_path: Path) -> None:
    """Where they train as long from one supernet; rivals are paid for by a shorter training, so that is another."""
    experiment = small_experiment(tmp_path, "greedy", "exact", "corrected")
    for final in experiment.protocol.finals:
        Choice.given(final, ChannelConfig([8, 16]), MEASURED).write(experiment.choice(final))
    networks = [task.makes.parent.name for task in all_tasks(experiment) if task.name.startswith("network-")]
    assert [name.split("-")[-2] for name in networks] == ["6", "4"]


def test_cut_weights_are_trained_as_long_as_a_supernet_took_besides(tmp_path: Path) -> None:
    """Every image at full width and at a random one, and the teacher; it is no network that a supernet began."""
    experiment = small_experiment(tmp_path, "uniform", "cut", "corrected")
    data = experiment.data
    space, phase = experiment.space, FromTrained().supernet
    config, rng = space.smallest, np.random.default_rng(7)
    own, whole = (costs(space, one).macs for one in (config, space.largest))
    at_random = np.mean([costs(space, space.sample(rng)).macs for _ in range(1000)])
    passes = phase.images / len(data.train) + phase.passes
    uniform, cut, corrected = (experiment.passes(final, config) for final in experiment.protocol.finals)
    assert (uniform, corrected) == (6, 4)
    assert (cut - uniform) * own == pytest.approx(passes * (whole + at_random) + 6 * whole / 3, rel=0.05)
    folders = [experiment.network(final, config).path for final in experiment.protocol.finals]
    assert len(set(folders)) == 3
    assert experiment.recipe(cut).phases(trained=True).finetune.epochs(len(data.train)) == cut


SLOW = """
import time
from pathlib import Path

import equal_latency
from protocol import Protocol
from tasks import Task, all_tasks

def slow(folder):
    (folder / "began").touch()
    try:
        time.sleep(120)
    finally:
        (folder / "ended").touch()

def protocol(options):
    return Protocol(
        name="slow", data="none", data_fingerprint="", images=(0, 0, 0, 0), device="fake", resolution=32,
        min_width=0.1, max_width=0.2, levels=2, budgets=(), supernets=0, seeds=(), passes=1, recipe="",
    )

equal_latency.__file__ = __file__
equal_latency._protocol = protocol
equal_latency.all_tasks = lambda one, *_: [Task("slow", (), one.folder / "made", lambda: slow(one.folder))]
raise SystemExit(equal_latency.main())
"""
"""The experiment with one piece of work, which takes longer than anybody waits."""


def test_an_experiment_that_is_told_to_end_leaves_nothing_at_work(tmp_path: Path) -> None:
    """Neither a task nor a lock; as long as either is at work, no second one is."""
    folder, script = tmp_path / "slow", tmp_path / "slow.py"
    script.write_text(SLOW)
    scripts = Path(equal_latency.__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(scripts), *filter(None, sys.path)])}

    def command(*words: str) -> list[str]:
        return [sys.executable, str(script), *words, "--folder", str(folder)]

    run = command("run", "--data", "none")
    with subprocess.Popen(run, env=environment, stderr=subprocess.PIPE) as process:
        while not (folder / "began").exists():
            assert process.poll() is None
            time.sleep(0.1)
        for second in (run, [*command("task"), "slow"]):
            done = subprocess.run(second, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2
            assert "Another edgewidth is at work" in done.stderr
        assert not (folder / "ended").exists()
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (folder / "ended").exists()
    assert list(folder.rglob(".lock")) == []


def test_a_task_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_latency, "GRACE_S", 0.2)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # not of the tests' own process
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(120)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        equal_latency._end([process])
        assert process.returncode == -signal.SIGKILL


def test_tasks_wait_for_what_they_need(tmp_path: Path) -> None:
    """In the order of the list; what is there already is not done again."""

    def task(name: str, *needs: str) -> Task:
        return Task(name, tuple(tmp_path / need for need in needs), tmp_path / name, lambda: None)

    tasks = [task("a"), task("b", "a"), task("c"), task("d", "b", "c")]
    assert [one.name for one in equal_latency._ready(tasks, set())] == ["a", "c"]
    assert [one.name for one in equal_latency._ready(tasks, {"a"})] == ["c"]
    (tmp_path / "a").touch()
    assert [one.name for one in equal_latency._ready(tasks, set())] == ["b", "c"]


def test_what_a_killed_evaluation_took_counts(tmp_path: Path) -> None:
    """The second start adds to what the first had spent when it was killed, and what both knew is there."""
    path, spent = tmp_path / "evaluation.json", []

    def work() -> None:
        with Spent(path, KillAfter(2)).task("work", 3) as task:
            for _ in range(3):
                sum(range(200_000))
                task.advance()

    for _ in range(2):
        began = time.process_time()
        with pytest.raises(Killed):
            work()
        spent.append((json.loads(path.read_text())["seconds"], time.process_time() - began))
    (first, all_of_first), (both, all_of_second) = spent
    assert 0 < first <= all_of_first
    assert first < both <= first + all_of_second
