"""Which runs of a visit count."""

from __future__ import annotations

import numpy as np
import pytest

from edgewidth.devices.measure.disturbed import mark_disturbed
from edgewidth.devices.measure.estimate import estimate
from edgewidth.devices.measure.stretches import counting_runs, own_jitter, undisturbed
from edgewidth.records.measurement import Clock, DeviceState, Engine, Precision, Runtime, Setting, Statistic, Visit

SETTING = Setting(
    device="a",
    hardware="b",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="1",
    threads=1,
    precision=Precision.INT8,
)


def visit(runs_ms: np.ndarray, number: int, model: str) -> Visit:
    runs = tuple(round(1e6 * run) for run in runs_ms)
    return Visit(model=model, round=number, started_s=number, warmup_ns=(1,), runs_ns=runs)


def marked(runs_ms: dict[str, list[np.ndarray]], setting: Setting = SETTING) -> dict[str, list[Visit]]:
    visits = {m: [visit(runs, i, m) for i, runs in enumerate(some)] for m, some in runs_ms.items()}
    found = mark_disturbed(visits, setting)
    return {model: [b for b in found if b.model == model] for model in visits}


@pytest.mark.parametrize("jitter", [0.0, 0.002, 0.01, 0.03, 0.08])
def test_steady_noise_is_no_disturbance(jitter: float) -> None:
    """Where single runs only jitter, nearly all count, and the median is that of all of them."""
    rng = np.random.default_rng(0)
    visits = {str(m): [np.exp(jitter * rng.standard_normal(150)) for _ in range(4)] for m in range(30)}
    found = marked(visits)
    assert own_jitter(found.values()) == pytest.approx(jitter, rel=0.25)
    assert np.mean([undisturbed(b).mean() for some in found.values() for b in some]) > 0.9
    ratio = [estimate(some, Statistic.MEDIAN).value_ms / np.median(visits[m]) for m, some in found.items()]
    assert abs(np.mean(ratio) - 1) < max(0.1 * jitter, 1e-6)


def slowed(rng: np.random.Generator, count: int, share: float, slower: float) -> tuple[np.ndarray, np.ndarray]:
    """Runs of 1 ms with a little jitter, and where they are slower: stretches of ten runs on average."""
    slow = np.empty(count, dtype=bool)
    now = rng.random() < share
    for i in range(count):
        if rng.random() < 0.1:
            now = rng.random() < share
        slow[i] = now
    return np.exp(0.003 * rng.standard_normal(count)) * np.where(slow, slower, 1.0), slow


@pytest.mark.parametrize(("share", "slower"), [(0.2, 1.1), (0.5, 1.1), (0.7, 1.15), (0.5, 2.0)])
def test_slow_stretches_do_not_count(share: float, slower: float) -> None:
    """However many of them: the estimate stays at the undisturbed level, where the plain median leaves it."""
    rng = np.random.default_rng(1)
    truth = {str(m): [slowed(rng, 150, share, slower) for _ in range(4)] for m in range(30)}
    found = marked({model: [runs for runs, _ in some] for model, some in truth.items()})
    values = [estimate(some, Statistic.MEDIAN) for some in found.values()]
    assert max(abs(value.value_ms - 1) for value in values) < 0.01
    assert np.mean([value.counted_percent for value in values]) == pytest.approx(100 * (1 - share), abs=10)
    assert all(value.all_ms is not None and value.all_ms > value.value_ms for value in values)
    for some, visits in zip(found.values(), truth.values(), strict=True):
        for one, (_, slow) in zip(some, visits, strict=True):
            assert (undisturbed(one) & slow).mean() < 0.15, "a stretch of three may hold one slow run"


@pytest.mark.parametrize("seed", range(8))
def test_a_neighbour_that_is_seldom_quiet_is_no_jitter(seed: int) -> None:
    """One model by itself, and nine tenths of its runs slower by a different share each time the neighbour returns."""
    rng = np.random.default_rng(seed)
    runs = []
    for _ in range(12):
        noise, slow = slowed(rng, 150, 0.9, 1.0)
        runs.append(noise * np.where(slow, rng.uniform(1.06, 1.16, 150), 1.0))
    [found] = marked({"m": runs}).values()
    assert own_jitter([found]) < 0.005
    assert estimate(found, Statistic.MEDIAN).value_ms == pytest.approx(1.0, abs=0.005)


def test_a_tail_is_of_all_runs() -> None:
    """Disturbances are what a tail is made of."""
    rng = np.random.default_rng(2)
    runs = [slowed(rng, 300, 0.4, 1.2)[0] for _ in range(4)]
    [some] = marked({"m": runs}).values()
    assert estimate(some, Statistic.P95).all_ms == pytest.approx(np.quantile(np.concatenate(runs), 0.95), rel=1e-5)
    assert estimate(some, Statistic.P95).counted_percent == 100
    assert len(counting_runs(some[0], Statistic.P95)) == 300
    assert len(counting_runs(some[0], Statistic.MEDIAN)) < 300


def test_single_late_runs_stay() -> None:
    """A run that came late among others is no stretch: it counts."""
    runs = np.where(np.arange(120) % 10 == 4, 3.0, 1.0)
    [[one]] = marked({"m": [runs]}).values()
    assert undisturbed(one).all()


def test_a_clock_that_counts_is_held_to_more() -> None:
    """One percent is a disturbance where instructions are counted, and nothing where time is measured."""
    runs = np.repeat([1.0, 1.01], 30)
    counted = SETTING.model_copy(update={"clock": Clock.ICOUNT})
    assert undisturbed(marked({"m": [runs]})["m"][0]).all()
    assert undisturbed(marked({"m": [runs]}, counted)["m"][0]).sum() == 30


def test_a_late_run_left_over_at_the_end_does_not_count() -> None:
    """Where a visit has few runs, one that fills no stretch must not move the median."""
    first = np.array([9.576, 9.072, 6.042, 5.947, 5.959, 6.883, 9.539])
    [[one, other]] = marked(
        {"m": [first, np.full(7, 5.942)]}, SETTING.model_copy(update={"clock": Clock.ICOUNT})
    ).values()
    assert undisturbed(one).tolist() == [False] * 3 + [True] * 3 + [False]
    assert undisturbed(other).all()
    assert estimate([one, other], Statistic.MEDIAN).value_ms == pytest.approx(5.942, rel=0.002)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_few_runs_are_one_stretch(count: int) -> None:
    """However few there are, equal ones count."""
    [[one]] = marked({"m": [np.ones(count)]}).values()
    assert undisturbed(one).tolist() == [True] * count


def test_a_visit_slow_from_end_to_end_is_known_by_the_fixed_calculation() -> None:
    """It has no fast stretch to be held against; where all visits are so, the interval owns up to it."""
    quiet, slow = np.full(100, 1.0), np.full(100, 1.12)
    fast = [(DeviceState(probe_ns=100), DeviceState(probe_ns=170))] * 4
    late = [(DeviceState(probe_ns=150), DeviceState(probe_ns=160))] * 3
    visits = {
        "mixed": states(
            [visit(r, i, "mixed") for i, r in enumerate([quiet, slow, quiet])], [*fast[:1], *late[:1], *fast[:1]]
        ),
        "slow": states([visit(slow, i, "slow") for i in range(3)], late),
        "steady": states([visit(slow, i, "steady") for i in range(4)], fast),
    }
    found = mark_disturbed(visits, SETTING)
    assert {b.model: b.disturbed for b in found if b.disturbed} == {
        "mixed": "slow: a fixed calculation took 1.5 times as long as usual",
        "slow": "slow: a fixed calculation took 1.5 times as long as usual",
    }
    of = {model: estimate([b for b in found if b.model == model], Statistic.MEDIAN) for model in visits}
    assert of["mixed"].value_ms == pytest.approx(1.0)
    assert of["slow"].low_ms < 1.0 < of["slow"].value_ms
    assert of["steady"].low_ms > 1.1
    elsewhere = [visit(quiet, 0, "other").model_copy(update={"before": DeviceState(probe_ns=100)})]
    assert all(b.disturbed for b in mark_disturbed({"slow": visits["slow"]}, SETTING, elsewhere))
    assert not any(b.disturbed for b in mark_disturbed({"slow": visits["slow"]}, SETTING))


def states(visits: list[Visit], around: list[tuple[DeviceState, DeviceState]]) -> list[Visit]:
    return [b.model_copy(update={"before": x, "after": y}) for b, (x, y) in zip(visits, around, strict=True)]
