"""Tails rest on enough runs, with intervals that hold; against simulations whose truth is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import binom, norm
from small_onnx import small_onnx

from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.tail import TAIL_RUNS, design_effect, levels, tail
from edgewidth.records.budget import Budget
from edgewidth.records.measurement import EngineName, Statistic, Visit
from edgewidth.stages.target import make_target
from edgewidth.stages.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

QUANTILES = [0.9, 0.95, 0.99]


def visits_of(rng: np.random.Generator, count: int, runs: int, between: float) -> list[np.ndarray]:
    """Runs whose logarithm is normal, and visits that differ by more than that."""
    return [np.exp(between * rng.standard_normal() + 0.1 * rng.standard_normal(runs)) for _ in range(count)]


@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize(("count", "runs", "between"), [(12, 86, 0.0), (12, 86, 0.01), (12, 86, 0.03), (24, 43, 0.02)])
def test_intervals_of_tails_cover(quantile: float, count: int, runs: int, between: float) -> None:
    """The truth of all visits, which is a normal distribution too, in 93 to 99 % of validations."""
    rng = np.random.default_rng(0)
    truth = math.exp(norm.ppf(quantile) * math.hypot(between, 0.1))
    found = [tail(visits_of(rng, count, runs, between), quantile) for _ in range(400)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.99
    assert np.median([one.value for one in found]) == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_levels_are_those_of_counting(quantile: float) -> None:
    """A share at an end is such that as few, or as many, faster runs have a probability of 2.5 %."""
    runs = 1000
    low, high = levels(runs, quantile)
    faster = runs * quantile
    assert binom.sf(faster - 1, runs, low) == pytest.approx(0.025, rel=1e-6)
    assert binom.cdf(faster, runs, high) == pytest.approx(0.025, rel=1e-6)


def test_few_runs_say_little() -> None:
    """Of fourteen the upper end is the slowest, however far a tail may reach."""
    runs = [np.linspace(1, 2, 7), np.linspace(1, 2, 7)]
    found = tail(runs, 0.95)
    assert found.high == 2.0
    assert found.low < 1.8


def test_runs_that_differ_by_visit_are_worth_fewer() -> None:
    rng = np.random.default_rng(1)
    alike, apart = visits_of(rng, 12, 200, 0.0), visits_of(rng, 12, 200, 0.3)
    value = float(np.quantile(np.concatenate(apart), 0.95))
    assert design_effect(apart, value) > 20
    assert design_effect(alike, float(np.quantile(np.concatenate(alike), 0.95))) < 3
    assert design_effect(alike[:1], value) == 1.0


def test_a_further_percentile_is_never_below() -> None:
    """Whatever the visits are like."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        some = [
            Visit(model="m", round=i, started_s=i, warmup_ns=(1,), runs_ns=tuple(rng.integers(1, 10**7, 20).tolist()))
            for i in range(rng.integers(1, 6))
        ]
        values = [estimate(some, one).value_ms for one in (Statistic.P90, Statistic.P95, Statistic.P99)]
        assert values == sorted(values)


class Said:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def task(self, title: str, total: float | None = None) -> Any:
        """As silence has it."""
        from edgewidth.progress import SILENT

        return SILENT.task(title, total)


def test_a_tail_takes_a_thousand_runs_and_says_so(tmp_path: Path) -> None:
    """A validation whose budget is within the interval warns; one far from it does not."""
    path, said = tmp_path / "m.onnx", Said()
    path.write_bytes(small_onnx((64, 64)))
    target = make_target("fake", statistic=Statistic.P95, runtime=EngineName.ONNXRUNTIME)
    found = validate(path, target, progress=said)
    assert found.estimate.runs >= TAIL_RUNS
    assert f"A p95 takes {TAIL_RUNS:,} runs: about" in said.lines[0]
    assert found.estimate.low_ms < found.estimate.value_ms < found.estimate.high_ms
    for latency_ms, codes in ((found.estimate.value_ms, {"close-to-budget"}), (10 * found.estimate.value_ms, set())):
        budget = Budget(latency_ms=latency_ms, statistic=Statistic.P95)
        told = {one.code for one in validate(path, target, budget=budget).warnings}
        assert told & {"close-to-budget"} == codes
