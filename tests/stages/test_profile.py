"""Profiling with a budget in mind, on the fake device."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from latency_truths import QUIET, SETTING, measure, tiled_device

from edgewidth.errors import DeviceError, InputError, MismatchError
from edgewidth.graph.families.ranges import WidthRanges, space_around
from edgewidth.graph.families.registry import describe, search_space
from edgewidth.progress import SILENT
from edgewidth.records.budget import BudgetRequest
from edgewidth.records.measurement import Statistic
from edgewidth.stages import fleet
from edgewidth.stages.bench import open_bench
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.target import make_target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgewidth.graph.space import ChannelConfig, SearchSpace
    from edgewidth.records.table import ConfigVisits
    from edgewidth.stages.bench import Bench


def one_width(levels: int, *, max_width: float = 1.5) -> SearchSpace:
    """MobileNet-v1 with so many configurations: one width alone is searched."""
    network, base_widths = describe("mobilenet_v1", resolution=32, in_channels=1, num_classes=10)
    space = space_around(network, base_widths, WidthRanges(only=("w5",), levels=levels, max_width=max_width))
    assert space.size == levels
    return space


class KnownBench(SimpleNamespace):
    """A device whose latencies are a formula; it measures in no time, all or, with ``calls_left``, what it can.

    ``calls`` is what was measured in each call.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space=space, setting=SETTING, target=SimpleNamespace(statistic=Statistic.MEDIAN))
        self.device, self.prior, self.progress, self.warnings = SimpleNamespace(facts=None), None, SILENT, ()
        self.truth, self.rng = tiled_device(space), np.random.default_rng(0)
        self.calls: list[list[ChannelConfig]] = []
        self.calls_left = math.inf
        self.known: dict[ChannelConfig, ConfigVisits] = {}

    def measure(self, configs: Iterable[ChannelConfig], until: float = math.inf) -> None:
        """Visit the ones that are not known yet."""
        del until
        new = [config for config in dict.fromkeys(configs) if config not in self.known]
        self.calls_left -= 1
        if new and self.calls_left >= 0:
            self.known |= {one.config: one for one in measure(self.truth, new, QUIET, self.rng)}
            self.calls.append(new)

    def visits(self) -> dict[ChannelConfig, ConfigVisits]:
        """All that was measured."""
        return dict(self.known)

    def estimate(self, config: ChannelConfig) -> SimpleNamespace:
        """The truth."""
        return SimpleNamespace(value_ms=self.truth(config))


@pytest.mark.parametrize("max_width", [1.0, 1.5])
@pytest.mark.parametrize("levels", [4, 5, 7, 14, 18, 27])
def test_a_small_space_has_a_table(levels: int, max_width: float, tmp_path: Path) -> None:
    """Most is left to fit: the smallest and the largest network, and the one whose latency budgets are shares of."""
    space = one_width(levels, max_width=max_width)
    bench = KnownBench(space)
    table = profile(cast("Bench", bench), RunFolder(tmp_path), budget=BudgetRequest.parse("98%"))
    assert table.quality.fitted + table.quality.held_out == levels
    assert table.quality.held_out == max(1, levels // 4)
    assert {one.config for one in table.fitted} >= {space.smallest, space.largest, space.uniform(1.0)}


def test_profiling_ends_with_the_last_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much time is left, and whatever is still to be gained: a latency here is no sum over layers."""
    bench, said = KnownBench(one_width(18)), list[str]()
    monkeypatch.setattr(bench, "progress", SimpleNamespace(say=said.append))
    monkeypatch.setattr(bench, "truth", lambda config: 1.0 + config[5] * 7919 % 13)
    plan = ProfilePlan(first=8, step=4, target_error_percent=1e-9)
    quality = profile(cast("Bench", bench), RunFolder(tmp_path), plan=plan).quality
    assert (quality.fitted, quality.held_out) == (14, 4)
    assert said[-1].startswith("Latency table: every configuration was measured, at a held-out error of")
    assert said[-1].endswith("There are no others to profile.")
    assert len(bench.calls) == 4  # what no table can do without, the first ones, and two steps more


@pytest.mark.parametrize("max_width", [1.0, 1.5])
def test_the_shortest_time_is_enough_for_a_table_or_for_none(max_width: float, tmp_path: Path) -> None:
    """What is measured first has three networks to fit also where the uniform 1.0 network is the largest."""
    bench = KnownBench(one_width(14, max_width=max_width))
    bench.calls_left = 1
    table = profile(cast("Bench", bench), RunFolder(tmp_path), plan=ProfilePlan(held_out=2))
    assert (table.quality.fitted, table.quality.held_out) == (3, 2)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_space_without_a_table_is_refused_before_anything_is_measured_or_removed(levels: int, tmp_path: Path) -> None:
    space, folder = one_width(levels), RunFolder(tmp_path)
    bench = KnownBench(space)
    with pytest.raises(InputError, match=rf"^These widths leave ({levels} configurations|one configuration)") as caught:
        profile(cast("Bench", bench), folder)
    assert "`levels`" in (caught.value.remedy or "")
    assert bench.calls == []
    folder.table.write_text("of another space")
    with pytest.raises(InputError, match=r"^These widths leave"):
        fleet.profile_devices(
            [make_target("fake")], space, tmp_path, plan=ProfilePlan(), seed=0, force=True, progress=SILENT
        )
    assert folder.table.exists()


def test_two_devices_of_one_name_are_told_before_either_is_measured(tmp_path: Path) -> None:
    """Their files would be in one folder: the second was left out, as if another program were at work there."""
    for place in ("attic", "kitchen"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "pi.toml").write_text('description = ""\ntransport = "fake"\nruntime = "litert"\n')
    targets = [make_target(str(tmp_path / place / "pi.toml")) for place in ("attic", "kitchen")]
    with pytest.raises(InputError, match="Two device profiles are called pi"):
        fleet.profile_devices(
            targets, one_width(8), tmp_path / "out", plan=ProfilePlan(), seed=0, force=False, progress=SILENT
        )
    assert not (tmp_path / "out").exists()


def test_every_other_step_measures_near_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
    plan = ProfilePlan(first=16, held_out=4, step=4, most=24, target_error_percent=1e-9)
    steps: list[list[ChannelConfig]] = []
    with open_bench(make_target("fake"), space, RunFolder(tmp_path)) as bench:
        measure = bench.measure

        def noted(configs: Iterable[ChannelConfig], until: float = math.inf) -> None:
            steps.append(list(configs))
            measure(steps[-1], until=until)

        monkeypatch.setattr(bench, "measure", noted)
        profile(bench, RunFolder(tmp_path), plan=plan, budget=BudgetRequest.parse("70%"))
        full_ms = bench.estimate(space.uniform(1.0)).value_ms
        overall, near = (
            np.log([bench.estimate(config).value_ms / (0.7 * full_ms) for config in step]) for step in steps[-2:]
        )
    assert np.abs(near).max() < 0.12
    assert np.abs(overall).max() > 0.2


def test_a_time_that_is_too_short_for_any_table(tmp_path: Path) -> None:
    """It is kept to, and said; the next try goes on from what was measured."""
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
    plan = ProfilePlan(first=16, held_out=4, step=4, most=24)
    with open_bench(make_target("fake"), space, RunFolder(tmp_path)) as bench:
        with pytest.raises(DeviceError, match=r"^0\.001 s were enough for 0 of 17 networks") as caught:
            profile(bench, RunFolder(tmp_path), plan=dataclasses.replace(plan, time_budget_s=0.001))
        assert "`time_budget_s`" in (caught.value.remedy or "")
        assert profile(bench, RunFolder(tmp_path), plan=plan).quality.fitted >= 13


def test_a_device_that_is_no_longer_the_same_joins_no_measurements(tmp_path: Path) -> None:
    """It is reached, and seen to have changed, when there is something to measure."""
    space = search_space("mobilenet_v1", resolution=32, in_channels=1, num_classes=10, max_width=0.5, levels=4)
    target, folder = make_target("fake"), RunFolder(tmp_path)
    with open_bench(target, space, folder) as bench:
        before = bench.setting.model_copy(update={"runtime_version": "0.1"})
    with open_bench(target, space, folder, setting=before) as bench:
        assert bench.visits() == {}
        with pytest.raises(MismatchError, match=r"other measurements; runtime_version: .* here, 0\.1 there"):
            bench.estimate(space.smallest)
