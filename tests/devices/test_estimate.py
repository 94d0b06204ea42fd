"""From raw visits to a latency with an interval that holds."""

from __future__ import annotations

import numpy as np
import pytest

from edgewidth.devices.measure.estimate import estimate, scatter_of
from edgewidth.devices.measure.scatter import UNKNOWN
from edgewidth.errors import InputError
from edgewidth.graph.space import ChannelConfig
from edgewidth.records.measurement import Statistic, Visit
from edgewidth.stages.bench import config_visits


def visit(runs_ms: np.ndarray | list[float], number: int = 0, disturbed: str | None = None) -> Visit:
    runs = tuple(round(1e6 * run) for run in runs_ms)
    return Visit(model="m", round=number, started_s=number, warmup_ns=(1,), runs_ns=runs, disturbed=disturbed)


@pytest.mark.parametrize("statistic", list(Statistic))
def test_the_statistic_is_that_of_the_runs(statistic: Statistic) -> None:
    """Of equal visits the value is NumPy's quantile of one."""
    runs = np.random.default_rng(0).uniform(1, 2, 500)
    found = estimate([visit(runs, number) for number in range(3)], statistic)
    assert found.value_ms == pytest.approx(np.quantile(runs, statistic.quantile), rel=1e-5)
    assert (found.visits, found.runs) == (3, 1500)


def test_disturbed_visits_do_not_count() -> None:
    """Unless there are no others: a number with a wide interval is more use than none."""
    good, bad = visit([1.0] * 10), visit([5.0] * 10, 1, "slow")
    assert estimate([good, bad], Statistic.MEDIAN).value_ms == pytest.approx(1.0)
    assert estimate([bad], Statistic.MEDIAN).value_ms == pytest.approx(5.0)
    assert config_visits(ChannelConfig((8,)), [bad, good], Statistic.MEDIAN).values_ms == (1.0,)
    with pytest.raises(InputError):
        estimate([], Statistic.MEDIAN)


def simulate(rng: np.random.Generator, count: int, between: float, within: float) -> list[Visit]:
    """Visits of a model whose median is 10 ms; they differ beyond what their runs show."""
    levels = np.exp(between * rng.standard_normal(count))
    return [visit(10 * level * np.exp(within * rng.standard_normal(60)), i) for i, level in enumerate(levels)]


CASES = pytest.mark.parametrize(
    ("count", "visit", "run"), [(2, 0.01, 0.01), (3, 0.03, 0.02), (4, 0.005, 0.01), (8, 0.02, 0.03), (2, 0.001, 0.001)]
)


@CASES
def test_intervals_cover(count: int, visit: float, run: float) -> None:
    """By itself, a model's 95 % interval holds the truth in at least 92 % of campaigns."""
    rng = np.random.default_rng(count)
    found = [estimate(simulate(rng, count, visit, run), Statistic.MEDIAN) for _ in range(300)]
    assert np.mean([one.low_ms <= 10 <= one.high_ms for one in found]) >= 0.92


@CASES
def test_visits_of_many_models_tell_more(count: int, visit: float, run: float) -> None:
    """With the scatter of all models the intervals are narrower, and hold the truth as often."""
    rng = np.random.default_rng(count)
    models = [simulate(rng, count, visit, run) for _ in range(200)]
    known = scatter_of(models, Statistic.MEDIAN)
    found = [estimate(visits, Statistic.MEDIAN, known=known) for visits in models]
    assert np.mean([one.low_ms <= 10 <= one.high_ms for one in found]) >= 0.92
    alone = [estimate(visits, Statistic.MEDIAN) for visits in models]
    widths = [np.mean([one.high_ms - one.low_ms for one in some]) for some in (found, alone)]
    assert widths[0] < 1.05 * widths[1]


def test_a_single_visit_is_not_trusted_far() -> None:
    """One visit with 1 % of noise among its runs: more than 5 % either way."""
    found = estimate(simulate(np.random.default_rng(0), 1, 0.0, 0.01), Statistic.MEDIAN)
    assert found.high_ms / found.value_ms > 1.05
    assert scatter_of([[visit([1.0])], []], Statistic.MEDIAN) == UNKNOWN
