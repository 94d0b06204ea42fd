"""Runs at several budgets on the fake device: what one measured and trained is not measured and trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from small_job import ReachedError, make_job, reached

from edgewidth.errors import InfeasibleBudgetError, InputError
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.losses import UnaryLosses
from edgewidth.records.run import Narrowing
from edgewidth.records.search import SearchResult
from edgewidth.records.table import LatencyTable
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.several import run_several

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgewidth.stages.run import Job


def budgets(*texts: str) -> list[BudgetRequest]:
    return [BudgetRequest.parse(text) for text in texts]


def _counted(function: Callable[..., object], calls: list[object]) -> Callable[..., object]:
    def counting(*given: object, **named: object) -> object:
        calls.append(given)
        return function(*given, **named)

    return counting


@pytest.fixture(scope="module")
def job() -> Job:
    return make_job()


def test_budgets_share_what_holds_for_all(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tightest comes first; the other has its table and supernet, and losses with evaluations near its own."""
    from edgewidth.training import train as supernets

    # Final networks are each run's own, as they are where there is one budget.
    monkeypatch.setattr("edgewidth.stages.run._Run._exported", lambda _, result: result)
    monkeypatch.setattr("edgewidth.stages.run._Run._validate", lambda *_: None)
    trained: list[object] = []
    monkeypatch.setattr(supernets, "train_supernet", _counted(supernets.train_supernet, trained))
    runs = run_several(job, budgets("80%", "50%"), RunFolder(tmp_path))
    assert len(trained) == 1
    first, second = RunFolder(tmp_path / "50percent"), RunFolder(tmp_path / "80percent")
    assert [run.name for run in runs.runs] == ["50percent", "80percent"]
    tight, wide = (run.budget_ms or 0.0 for run in runs.runs)
    assert tight == pytest.approx(wide * 5 / 8, rel=0.03)
    assert first.supernet.read_bytes() == second.supernet.read_bytes()
    tables = [LatencyTable.read(folder.table) for folder in (first, second)]
    assert {one.config for one in tables[0].fitted} <= {one.config for one in tables[1].fitted}
    evaluated = [{one.config for one in UnaryLosses.read(folder.losses).fitted} for folder in (first, second)]
    assert evaluated[0] & evaluated[1]
    results = [SearchResult.read(folder.search) for folder in (first, second)]
    assert [result.budget.latency_ms for result in results] == pytest.approx([tight, wide])
    for result in results:
        assert result.measured is not None
        assert result.measured.value_ms <= result.budget.latency_ms
    # How many channels are best is a matter of the losses; how wide a uniform network fits is not.
    uniforms = [result.baselines["uniform"].config for result in results]
    assert sum(uniforms[0]) < sum(uniforms[1])
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "50percent" in page
    assert "80percent" in page

    # What is done is not done again.
    monkeypatch.setattr("edgewidth.stages.run.train", reached)
    again = run_several(job, budgets("50%", "80%"), RunFolder(tmp_path))
    assert again == runs


def test_a_budget_that_nothing_meets_is_told_first(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is trained, though it was given last."""
    monkeypatch.setattr("edgewidth.stages.run.train", reached)
    with pytest.raises(InfeasibleBudgetError, match="fastest is measured"):
        run_several(job, budgets("80%", "1%"), RunFolder(tmp_path))
    with pytest.raises(ReachedError):
        run_several(job, budgets("80%", "60%"), RunFolder(tmp_path / "feasible"))


@pytest.mark.parametrize("given", [(), ("8ms", "8ms"), ("60%", "60.0%")])
def test_every_budget_is_given_once(given: tuple[str, ...], job: Job, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing or given twice"):
        run_several(job, budgets(*given), RunFolder(tmp_path))


def test_narrowed_supernets_are_not_shared(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is trained for its own budget; measurements and table are shared."""
    narrowed = replace(job, request=job.request.model_copy(update={"narrowing": Narrowing()}))
    tmp = RunFolder(tmp_path)
    first = RunFolder(tmp_path / "50percent")
    first.path.mkdir()
    for path in (first.supernet, first.table, first.measurements):
        path.write_text(path.name)
    monkeypatch.setattr("edgewidth.stages.several.run", _stop_after_first)
    with pytest.raises(ReachedError):
        run_several(narrowed, budgets("50%", "80%"), tmp)
    assert (tmp_path / "80percent" / "table.json").read_text() == "table.json"
    assert not (tmp_path / "80percent" / "supernet.safetensors").exists()


def _stop_after_first(_job: Job, own: RunFolder, **_options: object) -> None:
    if own.path.name != "50percent":
        raise ReachedError


def test_a_tighter_budget_later_takes_what_is_there(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it comes first; by force nothing is taken."""
    done = RunFolder(tmp_path / "50percent")
    done.path.mkdir()
    for path in (done.supernet, done.table, done.measurements):
        path.write_text(path.name)
    monkeypatch.setattr("edgewidth.stages.several.run", _stop_after_first)
    for force in (True, False):
        with pytest.raises(ReachedError):
            run_several(job, budgets("30%", "50%"), RunFolder(tmp_path), force=force)
        assert (tmp_path / "30percent" / "supernet.safetensors").exists() is not force
    assert (tmp_path / "30percent" / "table.json").read_text() == "table.json"
