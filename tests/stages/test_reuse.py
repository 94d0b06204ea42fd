"""A table from one run serves another: as it is, or as a prior. On the fake device, whose truth is known."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.errors import InputError, MismatchError
from edgewidth.graph.families.registry import search_space
from edgewidth.latency.predict import Predictor
from edgewidth.progress import SILENT
from edgewidth.records.measurement import Precision
from edgewidth.records.table import ConfigVisits, LatencyTable
from edgewidth.stages.bench import open_bench
from edgewidth.stages.claim import locked
from edgewidth.stages.fleet import profile_devices
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import ProfilePlan, fit_measured, refit
from edgewidth.stages.target import make_target

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.stages.fleet import ProfileOutcome

SPACE = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
PLAN = ProfilePlan(first=24, held_out=8, step=8, most=32)


def make(out: Path, *, table: Path | None = None, prior: Path | None = None, **changes: object) -> ProfileOutcome:
    target = make_target("fake", **changes)  # type: ignore[arg-type]  # options by name
    [outcome] = profile_devices(
        [target], SPACE, out, plan=PLAN, seed=0, force=False, table=table, prior=prior, progress=SILENT
    )
    return outcome


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profiled folder."""
    out = tmp_path_factory.mktemp("first")
    make(out)
    return out


def measured_in(folder: Path) -> int:
    """How many networks a folder's store holds."""
    table = LatencyTable.read(RunFolder(folder).table)
    with open_bench(
        make_target("fake", precision=Precision(table.setting.precision)), SPACE, RunFolder(folder)
    ) as bench:
        return len(bench.visits())


def test_a_table_that_holds_is_used_as_it_is(first: Path, tmp_path: Path) -> None:
    """After eight networks; what is measured later joins what it was fitted to."""
    outcome = make(tmp_path, table=first / "table.json")
    old, new = LatencyTable.read(first / "table.json"), LatencyTable.read(tmp_path / "table.json")
    assert new.entries == old.entries
    assert outcome.quality == old.quality
    assert measured_in(tmp_path) == 8
    with open_bench(make_target("fake"), SPACE, RunFolder(tmp_path)) as bench:
        again = fit_measured(bench, [held.config for held in new.held_out], known=new)
    assert {v.config for v in again.fitted} >= {v.config for v in old.fitted}
    assert len(again.fitted) > len(old.fitted)
    both = next(v for v in again.fitted if v.config == SPACE.uniform(1.0))
    assert len(both.values_ms) > len(next(v for v in old.fitted if v.config == SPACE.uniform(1.0)).values_ms)
    refitted = refit(RunFolder(tmp_path))
    assert {v.config for v in refitted.fitted} == {v.config for v in again.fitted}


def test_a_device_that_changed_is_noticed(first: Path, tmp_path: Path) -> None:
    """A table of a device that was 10 % faster is not taken; the message says so and what to do."""
    table = LatencyTable.read(first / "table.json")
    faster = table.model_copy(
        update={
            "offset_ms": 0.9 * table.offset_ms,
            "entries": tuple(
                e.model_copy(update={"values_ms": tuple(tuple(0.9 * v for v in row) for row in e.values_ms)})
                for e in table.entries
            ),
            "fitted": tuple(
                v.model_copy(update={"values_ms": tuple(0.9 * x for x in v.values_ms)}) for v in table.fitted
            ),
        }
    )
    faster.write(tmp_path / "old.json")
    with pytest.raises(MismatchError, match="slower than the table says") as caught:
        make(tmp_path / "out", table=tmp_path / "old.json")
    assert "`prior=" in (caught.value.remedy or "")
    assert not (tmp_path / "out" / "table.json").exists()


def test_a_table_of_other_measurements_is_refused(first: Path, tmp_path: Path) -> None:
    """Before anything is measured."""
    with pytest.raises(MismatchError, match="precision: float32 here, int8 there"):
        make(tmp_path, table=first / "table.json", precision=Precision.FLOAT32)
    other = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=3)
    with pytest.raises(MismatchError, match="another search space"):
        profile_devices(
            [make_target("fake")],
            other,
            tmp_path / "b",
            plan=PLAN,
            seed=0,
            force=False,
            prior=first / "table.json",
            progress=SILENT,
        )


def test_a_prior_of_another_precision_spares_measurements(first: Path, tmp_path: Path) -> None:
    """A dozen networks are enough, and the search goes on learning from it.

    How much better tables with a prior are is the estimator's to show, on devices less simple than the fake one.
    """
    outcome = make(tmp_path / "with", prior=first / "table.json", precision=Precision.FLOAT32)
    assert outcome.quality is not None
    assert outcome.quality.fitted <= 12 < PLAN.first
    assert outcome.quality.mape_percent <= PLAN.target_error_percent
    shutil.copytree(tmp_path / "with", tmp_path / "without")
    (tmp_path / "without" / "prior.json").unlink()
    plain = refit(RunFolder(tmp_path / "without"))
    assert plain.quality.mape_percent != pytest.approx(outcome.quality.mape_percent)
    assert refit(RunFolder(tmp_path / "with")).quality.mape_percent == pytest.approx(outcome.quality.mape_percent)


def test_a_folder_in_which_another_program_works_is_not_fitted(first: Path) -> None:
    """Its table is that program's to write."""
    before = (first / "table.json").read_bytes()
    with locked(first), pytest.raises(InputError, match="Another edgewidth is at work in"):
        refit(RunFolder(first))
    assert (first / "table.json").read_bytes() == before


def test_visits_join_and_part() -> None:
    """By their moments."""
    config = SPACE.smallest
    a = ConfigVisits(config=config, values_ms=(1.0, 3.0), started_s=(10.0, 30.0))
    b = ConfigVisits(config=config, values_ms=(2.0,), started_s=(20.0,))
    assert a.joined(b) == ConfigVisits(config=config, values_ms=(1.0, 2.0, 3.0), started_s=(10.0, 20.0, 30.0))
    assert a.joined(b).without({10.0, 30.0}) == b
    assert b.without({20.0}) is None


def test_a_table_stands_by_itself(first: Path) -> None:
    """It predicts what it was held against, from its file alone."""
    table = LatencyTable.read(first / "table.json")
    predicted = Predictor(table).predict([held.config for held in table.held_out]).mean_ms
    assert np.allclose(predicted, [held.predicted_ms for held in table.held_out], rtol=1e-6)
    assert set(table.visits()) == {v.config for v in table.fitted} | {held.config for held in table.held_out}
