"""Training that draws the widths which a search at one budget is likely to choose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_training import KillAfter, Killed, small_data, small_recipe, small_space, supernet_files

from edgewidth.losses.focus import Focus
from edgewidth.progress import SILENT
from edgewidth.records.provenance import Provenance
from edgewidth.search.factors import Factor
from edgewidth.search.problem import Problem
from edgewidth.stages.folder import RunFolder
from edgewidth.training.loop import loop
from edgewidth.training.narrowing import NarrowingSampler, Schedule
from edgewidth.training.train import train_supernet

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.progress import Progress

SPACE = small_space()
DATA = small_data()
SCHEDULE = Schedule(begin=0.4, updates=3, evaluations=10, last_temperature=0.05)


BUDGET_MS = 0.8 * sum(float(np.mean(variable.choices)) / 10 for variable in SPACE.variables)


PROBLEM = Problem(
    tuple(len(variable.choices) for variable in SPACE.variables),
    (),
    # Every channel takes a tenth of a millisecond.
    tuple(Factor((i,), np.array(v.choices) / 10) for i, v in enumerate(SPACE.variables)),
)
FOCUS = Focus(PROBLEM, (BUDGET_MS,), "latency")


def make_sampler(folder: Path, *, seed: int = 0, key: str = "", progress: Progress = SILENT) -> NarrowingSampler:
    return NarrowingSampler(
        SPACE,
        DATA,
        FOCUS,
        folder=folder,
        schedule=SCHEDULE,
        seed=seed,
        key=key,
        training=Provenance(),
        progress=progress,
    )


@pytest.mark.parametrize(
    ("done", "update"), [(0.0, None), (0.39, None), (0.4, 0), (0.59, 0), (0.61, 1), (0.99, 2), (1.0, 2)]
)
def test_the_schedule(done: float, update: int | None) -> None:
    """Uniform first, then fields at even distances, colder and colder."""
    assert SCHEDULE.update_at(done) == update
    temperatures = [SCHEDULE.temperature(i) for i in range(3)]
    assert temperatures[0] == 1.0
    assert temperatures[2] == pytest.approx(0.05)
    assert temperatures[1] == pytest.approx((temperatures[0] * temperatures[2]) ** 0.5)


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, NarrowingSampler]:
    folder = RunFolder(tmp_path_factory.mktemp("narrowed"))
    sampler = make_sampler(folder.checkpoints)
    train_supernet(SPACE, DATA, small_recipe(), seed=0, sampler=sampler, **supernet_files(folder))
    return folder, sampler


def test_draws_concentrate_within_the_budget(narrowed: tuple[RunFolder, NarrowingSampler]) -> None:
    """Field after field keeps the mean latency, and the entropy of the widths falls."""
    steps = narrowed[1].steps
    assert [step.done for step in steps] == pytest.approx([0.4, 0.6, 0.8])
    assert all(step.mean_ms <= BUDGET_MS * (1 + 1e-6) for step in steps)
    for step in steps:
        assert [sum(marginal) for marginal in step.marginals] == pytest.approx([1.0] * len(SPACE.variables))
    entropy = [
        -sum(float(np.sum(np.array(m) * np.log(np.maximum(m, 1e-300)))) for m in step.marginals) for step in steps
    ]
    uniform = sum(np.log(len(variable.choices)) for variable in SPACE.variables)
    assert uniform > entropy[0] > entropy[-1]


def test_a_training_that_is_taken_up_draws_the_same(narrowed: tuple[RunFolder, NarrowingSampler]) -> None:
    """From what was kept, without evaluating again; another table or seed has nothing to do with it."""
    folder, sampler = narrowed
    again = make_sampler(folder.checkpoints)
    assert again.steps == sampler.steps
    assert make_sampler(folder.checkpoints, key="another table").steps == ()
    assert make_sampler(folder.checkpoints, seed=1).steps == ()
    names = [path.name for path in folder.checkpoints.iterdir()]
    assert sorted(re.sub("-[0-9a-f]{16}-", "-", name) for name in names) == [f"narrowing-{i}.jsonl" for i in range(3)]
    assert len({name.split("-")[1] for name in names}) == 1


def test_a_killed_narrowing_ends_as_the_unbroken_one(
    narrowed: tuple[RunFolder, NarrowingSampler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it evaluates for a field, and between two fields, it comes to the same bits."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    folder = RunFolder(tmp_path)
    for progress in (KillAfter(14), KillAfter(21)):
        sampler = make_sampler(folder.checkpoints, progress=progress)
        with pytest.raises(Killed):
            train_supernet(
                SPACE, DATA, small_recipe(), seed=0, sampler=sampler, progress=progress, **supernet_files(folder)
            )
    sampler, progress = make_sampler(folder.checkpoints), KillAfter()
    assert 0 < len(sampler.steps) < SCHEDULE.updates
    train_supernet(SPACE, DATA, small_recipe(), seed=0, sampler=sampler, progress=progress, **supernet_files(folder))
    assert progress.goes_on_from > 0
    assert folder.supernet.read_bytes() == narrowed[0].supernet.read_bytes()


def test_narrowing_repeats_with_its_seed(narrowed: tuple[RunFolder, NarrowingSampler], tmp_path: Path) -> None:
    """The same supernet, bit for bit; and another one than without narrowing."""
    folder = RunFolder(tmp_path / "again")
    train_supernet(
        SPACE, DATA, small_recipe(), seed=0, sampler=make_sampler(folder.checkpoints), **supernet_files(folder)
    )
    assert folder.supernet.read_bytes() == narrowed[0].supernet.read_bytes()
    plain = RunFolder(tmp_path / "plain")
    train_supernet(SPACE, DATA, small_recipe(), seed=0, **supernet_files(plain))
    assert plain.supernet.read_bytes() != folder.supernet.read_bytes()
