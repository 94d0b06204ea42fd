"""Profiling with a budget in mind, on the fake device."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewidth.errors import DeviceError, MismatchError
from edgewidth.graph.families.registry import search_space
from edgewidth.records.budget import BudgetRequest
from edgewidth.stages.bench import open_bench
from edgewidth.stages.folder import RunFolder
from edgewidth.stages.profile import ProfilePlan, profile
from edgewidth.stages.target import make_target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edgewidth.graph.space import ChannelConfig


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
