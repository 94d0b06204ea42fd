"""How much measurements differ, level by level; against simulated devices whose states are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_onnx import small_onnx

from edgewidth.devices.device import Device
from edgewidth.devices.fake.transport import FakeNoise, FakeTransport
from edgewidth.devices.measure import history
from edgewidth.devices.measure.estimate import estimate, scatter_of
from edgewidth.devices.measure.history import recall, remember
from edgewidth.devices.measure.scatter import states_of
from edgewidth.devices.measure.warnings import state_warnings
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.records.measurement import EngineName, Statistic, Visit
from edgewidth.stages.target import make_target
from edgewidth.stages.validate import SESSIONS, VISITS, validate

if TYPE_CHECKING:
    from pathlib import Path

    from edgewidth.records.validation import ValidationReport

TRUTH_MS = 2.0


def visit(ms: float, started_s: float, session: str = "", rng: np.random.Generator | None = None) -> Visit:
    """One with runs of 1 % of noise about a median, or none without ``rng``."""
    noise = np.zeros(15) if rng is None else 0.01 * rng.standard_normal(15)
    runs = tuple(np.round(1e6 * ms * np.exp(noise - np.median(noise))).astype(int).tolist())
    return Visit(model="m", round=0, started_s=started_s, warmup_ns=(1,), runs_ns=runs, session=session)


def validation(rng: np.random.Generator, state: float, session: float, single: float, began_s: float) -> list[Visit]:
    """Three sessions of four visits within seconds, of a device that is in one state meanwhile."""
    level = state * rng.standard_normal()
    found = []
    for number in range(3):
        place = level + session * rng.standard_normal()
        for turn in range(4):
            ms = TRUTH_MS * math.exp(place + single * rng.standard_normal())
            found.append(visit(ms, began_s + number + 0.2 * turn, f"{began_s}-{number}", rng))
    return found


@pytest.mark.parametrize(
    ("state", "session", "single"), [(0.01, 0.003, 0.003), (0.004, 0.004, 0.002), (0.004, 0.0, 0.004)]
)
def test_intervals_cover_what_the_next_validations_find(state: float, session: float, single: float) -> None:
    """In 90 to 99 % of cases the truth, that is what many later validations amount to, once a history tells states.

    Without one they do so where states differ by less than half of what single runs differ by.
    """
    rng = np.random.default_rng(0)
    inside, alone = [], []
    histories = [
        [one for at in range(5) for one in validation(rng, state, session, single, 600.0 * at)] for _ in range(60)
    ]
    for turn in range(120):
        models = [histories[(turn + 7 * number) % len(histories)] for number in range(4)]
        now = validation(rng, state, session, single, 9000.0)
        found = estimate(now, Statistic.MEDIAN, known=scatter_of([*models, now], Statistic.MEDIAN))
        inside.append(found.low_ms <= TRUTH_MS <= found.high_ms)
        first = estimate(now, Statistic.MEDIAN)
        alone.append(first.low_ms <= TRUTH_MS <= first.high_ms)
    assert 0.9 <= np.mean(inside) <= 0.995
    assert np.mean(alone) >= (0.9 if state < 0.005 else 0.7)


def test_variances_are_those_of_the_device() -> None:
    """Of many models, each level by itself."""
    rng = np.random.default_rng(1)
    truth = (0.003, 0.005, 0.01)
    models = [[one for at in range(5) for one in validation(rng, *truth[::-1], 100.0 * at)] for _ in range(60)]
    found = scatter_of(models, Statistic.MEDIAN)
    assert [math.sqrt(one.variance) for one in found] == pytest.approx(truth, rel=0.12)


def test_what_cannot_be_told_apart_is_one() -> None:
    """Single visits minutes apart: the scatter of states has that of visits in it."""
    rng = np.random.default_rng(2)
    models = [[visit(math.exp(0.01 * rng.standard_normal()), 60.0 * at) for at in range(4)] for _ in range(100)]
    found = scatter_of(models, Statistic.MEDIAN)
    assert found.visit.freedom == found.session.freedom == 0
    assert math.sqrt(found.state.variance) == pytest.approx(0.01, rel=0.1)
    halves = [math.log(one.high_ms / one.value_ms) for some in models if (one := estimate(some, Statistic.MEDIAN))]
    assert np.median(halves) < 0.05


def test_states_are_told_by_pauses() -> None:
    """Not by sessions alone: these may follow each other within seconds."""
    visits = [visit(1.0, at, session) for at, session in ((0, "a"), (1, "a"), (2, "b"), (60, "b"), (61, "b"))]
    assert [[len(session) for session in state] for state in states_of(visits, np.zeros(5))] == [[2, 1], [2]]


def test_a_device_without_noise_has_no_states() -> None:
    """What does not vary from run to run does not from minute to minute."""
    found = estimate([visit(1.0, at) for at in range(4)], Statistic.MEDIAN)
    assert found.high_ms - found.low_ms < 1e-6


def test_one_disturbed_visit_has_an_interval() -> None:
    """Though nothing tells how much visits differ, as where earlier ones of others tell of states alone."""
    others = [[visit(1.0, at), visit(1.02, at + 60.0)] for at in range(4)]
    known = scatter_of(others, Statistic.MEDIAN)
    assert not known.visit.freedom
    found = estimate(
        [visit(1.0, 0).model_copy(update={"disturbed": "slow: 95% of its runs"})], Statistic.MEDIAN, known=known
    )
    assert found.low_ms < 0.9 < found.value_ms < 1.1 < found.high_ms


def validated(
    path: Path, tmp_path: Path, seed: int, noise: FakeNoise, statistic: Statistic = Statistic.MEDIAN
) -> ValidationReport:
    profile = DeviceProfile(name="fake", transport="fake")
    transport = FakeTransport(tmp_path / f"device-{seed}", seed=seed, noise=noise)
    target = make_target("fake", runtime=EngineName.ONNXRUNTIME, statistic=statistic)
    return validate(path, target, device=Device(profile, transport, transport.facts()))


def test_a_validation_has_sessions_and_is_remembered(tmp_path: Path) -> None:
    """Each session with its share of the visits; the next validation knows them; damage is no harm."""
    path = tmp_path / "m.onnx"
    path.write_bytes(small_onnx((64, 64)))
    noise = FakeNoise(visit=0.002, drift=0.0, session=0.002)  # no visit is slow among the others
    found = validated(path, tmp_path, 0, noise)
    sessions = [one.session for one in found.visits if one.disturbed is None]
    assert len(set(sessions)) == SESSIONS
    assert {sessions.count(name) for name in set(sessions)} == {VISITS // SESSIONS}
    [remembered] = recall(found.setting).values()
    assert sorted(remembered, key=lambda one: one.started_s) == sorted(found.visits, key=lambda one: one.started_s)
    history.history_path().write_bytes(b"torn" * 5000)
    assert recall(found.setting) == {}
    remember(found.setting, remembered)
    assert recall(found.setting).values()


def test_a_slow_session_does_not_count_and_is_told(tmp_path: Path) -> None:
    """Sessions of 0, 3 and 3 % or the like: the quickest stands, and the others are spoken of."""
    path = tmp_path / "m.onnx"
    path.write_bytes(small_onnx((64, 64)))
    noise = FakeNoise(run=0.001, visit=0.001, session=0.05, drift=0.0, outliers=0.0)
    found = validated(path, tmp_path, 3, noise)
    slow = {one.session for one in found.visits if one.disturbed}
    assert slow, "the seed makes sessions differ"
    assert "slow-sessions" in {warning.code for warning in found.warnings}
    quickest = min(np.median(one.runs_ns) for one in found.visits) / 1e6
    assert found.estimate.value_ms == pytest.approx(quickest, rel=0.02)


def test_a_change_of_the_device_is_no_state() -> None:
    """Files that are 10 % faster since the system was changed have intervals of a percent soon, and no warning."""
    rng = np.random.default_rng(4)
    models = []
    for _ in range(5):
        every = [validation(rng, 0.001, 0.001, 0.002, 600.0 * at) for at in range(20)]
        slower = [
            one.model_copy(update={"runs_ns": tuple(round(1.1 * ns) for ns in one.runs_ns)})
            for some in every[:10]
            for one in some
        ]
        models.append([*slower, *(one for some in every[10:] for one in some)])
    now = models[0][-12:]
    found = estimate(now, Statistic.MEDIAN, known=scatter_of(models, Statistic.MEDIAN))
    assert found.low_ms <= TRUTH_MS <= found.high_ms
    assert found.high_ms / found.low_ms < 1.15
    assert not state_warnings(now, models[0][:-12], found)


def test_another_state_than_before_is_told() -> None:
    """Eight validations agree and the ninth finds 4 % more; a tenth that agrees is no news."""
    rng = np.random.default_rng(3)
    earlier = [one for at in range(8) for one in validation(rng, 0.001, 0.001, 0.002, 600.0 * at)]
    now = validation(rng, 0.001, 0.001, 0.002, 9000.0)
    for factor, codes in ((1.04, ["another-state"]), (1.0, [])):
        slower = [one.model_copy(update={"runs_ns": tuple(round(factor * ns) for ns in one.runs_ns)}) for one in now]
        latency = estimate(slower, Statistic.MEDIAN, known=scatter_of([[*earlier, *slower]], Statistic.MEDIAN))
        assert [warning.code for warning in state_warnings(slower, earlier, latency)] == codes


def test_neighbours_are_no_other_state() -> None:
    """Something slowed most runs of earlier visits, which did not count then either."""
    rng = np.random.default_rng(5)
    earlier = []
    for at in range(8):
        for one in validation(rng, 0.001, 0.001, 0.002, 600.0 * at):
            runs = [round(ns * (1.2 if place % 15 < 9 else 1)) for place, ns in enumerate(one.runs_ns)]
            earlier.append(one.model_copy(update={"runs_ns": tuple(runs), "slow_above_ns": 1.1e6 * TRUTH_MS}))
    now = validation(rng, 0.001, 0.001, 0.002, 9000.0)
    latency = estimate(now, Statistic.MEDIAN, known=scatter_of([[*earlier, *now]], Statistic.MEDIAN))
    assert not state_warnings(now, earlier, latency)


@pytest.mark.parametrize("statistic", Statistic)
def test_a_tail_is_no_other_state(statistic: Statistic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A p99 lies far above the median of the same device; only a device that changed is told, whatever is asked."""
    path = tmp_path / "m.onnx"
    path.write_bytes(small_onnx((64, 64)))
    noise = FakeNoise(run=0.05, visit=0.002, drift=0.0)
    first = validated(path, tmp_path, 0, noise, statistic)
    earlier: list[Visit] = []
    monkeypatch.setattr("edgewidth.stages.validate.recall", lambda _: {earlier[0].model: earlier})
    for factor, is_told in ((1.0, False), (0.8, True)):
        runs = [tuple(round(factor * ns) for ns in one.runs_ns) for one in first.visits]
        earlier[:] = [
            one.model_copy(update={"started_s": one.started_s + 600.0 * at, "runs_ns": of_one})
            for at in range(4)
            for one, of_one in zip(first.visits, runs, strict=True)
        ]
        found = validated(path, tmp_path, 0, noise, statistic)
        assert ("another-state" in {warning.code for warning in found.warnings}) is is_told
