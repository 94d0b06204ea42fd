"""What counts as a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from edgewidth.devices.measure.disturbed import disturbance, mark_disturbed
from edgewidth.devices.measure.policy import Policy, visit_name
from edgewidth.devices.measure.warnings import find_warnings
from edgewidth.devices.profiles import DeviceProfile
from edgewidth.records.measurement import Clock, DeviceState, Engine, Precision, Runtime, Setting, Visit

SETTING = Setting(
    device="a",
    hardware="b",
    engine=Engine(runtime=Runtime.LITERT),
    runtime_version="1",
    threads=1,
    precision=Precision.INT8,
)
PROFILE = DeviceProfile(name="a", transport="local", max_temperature_c=70)


def visit(run_ns: float = 1e6, number: int = 0, model: str = "m", **changes: object) -> Visit:
    runs = (round(run_ns),) * 100
    fields = {
        "model": model,
        "round": number,
        "started_s": float(number),
        "warmup_ns": runs[:20],
        "runs_ns": runs,
        "own_s": 120 * run_ns / 1e9,
    }
    return Visit.model_validate(fields | changes)


def state(**fields: object) -> DeviceState:
    return DeviceState.model_validate(fields)


def test_the_order_is_shuffled_anew_each_round() -> None:
    """Every round has every model once; two rounds differ; the same seed gives the same."""
    models = [str(i) for i in range(20)]
    orders = [Policy(seed=3).order(models, number) for number in range(4)]
    assert all(sorted(order) == sorted(models) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders == [Policy(seed=3).order(models, number) for number in range(4)]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {}, None),
        ({"throttled": ()}, {"throttled": ("throttled since boot",)}, "throttled since boot"),
        ({"throttled": ("under-voltage since boot",)}, {"throttled": ("under-voltage since boot",)}, None),
        ({"throttled": ("throttled",)}, {"throttled": ("throttled",)}, "throttled"),
        ({"temperature_c": 60}, {"temperature_c": 75}, "75 °C"),
        ({"temperature_c": 60}, {"temperature_c": 69}, None),
        ({"frequency_mhz": 1800}, {"frequency_mhz": 1500}, "frequency fell"),
        ({"frequency_mhz": 600}, {"frequency_mhz": 1800}, None),
        ({"swapped_pages": 10}, {"swapped_pages": 5000}, "swapping"),
    ],
)
def test_what_the_device_says_disturbs(before: dict[str, object], after: dict[str, object], says: str | None) -> None:
    """Flags that are raised, heat, a falling clock and swapping; not what was so before."""
    found = disturbance(visit(before=state(**before), after=state(**after)), PROFILE)
    assert (found is None) if says is None else says in (found or "")


def test_a_slow_stretch_is_told_from_noise() -> None:
    """Of visits with 0.5 % of noise those in a stretch that is 8 % slower are slow, and nearly no others."""
    rng = np.random.default_rng(0)
    visits: dict[str, list[Visit]] = {str(model): [] for model in range(40)}
    slowed = set()
    for model in range(40):
        for number in range(4):
            slow = number == 1 and model < 20
            slowed |= {visit_name(str(model), number)} if slow else set()
            time = 1e6 * (model + 1) * (1.08 if slow else 1.0) * np.exp(0.005 * rng.standard_normal())
            visits[str(model)].append(visit(time, number, str(model)))
    marked = mark_disturbed(visits, SETTING)
    found = {visit_name(b.model, b.round) for b in marked if b.disturbed is not None}
    assert slowed <= found
    assert len(found - slowed) <= 4
    again = mark_disturbed({m: [b for b in marked if b.model == m] for m in visits}, SETTING)
    assert again == marked, "judging twice changes nothing"


def test_what_the_device_said_is_not_marked_away() -> None:
    """A visit that was throttled stays so, and is nobody's best."""
    throttled = visit(5e5, 0, disturbed="raised throttled")
    marked = mark_disturbed({"m": [throttled, visit(1e6, 1), visit(1e6, 2)]}, SETTING)
    assert {b.round: b.disturbed for b in marked} == {0: "raised throttled", 1: None, 2: None}


@pytest.mark.parametrize(
    ("good", "bad", "missing"),
    [(0, 0, 4), (4, 0, 0), (3, 1, 1), (2, 4, 0), (1, 4, 1), (0, 6, 4), (0, 8, 2), (0, 10, 0)],
)
def test_measuring_again_is_bounded(good: int, bad: int, missing: int) -> None:
    """Half as many more than asked for, or one and a half times as many while there is no good one."""
    visits = [visit(number=i, disturbed=None if i < good else "slow") for i in range(good + bad)]
    assert Policy(rounds=4, remeasure=0.5).missing(visits) == missing


def codes(visits: list[Visit], setting: Setting = SETTING, policy: Policy | None = None) -> set[str]:
    return {warning.code for warning in find_warnings({"m": visits}, setting, policy or Policy(rounds=1))}


def test_warnings() -> None:
    """Each kind has its cause; a quiet device has none."""
    falling = tuple(int(1e9 * 0.9**i) for i in range(20))
    assert codes([visit()]) == set()
    assert codes([visit(before=state(governor="powersave"))]) == {"governor"}
    assert codes([visit(before=state(throttled=("frequency capped since boot",)))]) == {"throttling"}
    assert codes([visit(after=state(throttled=("under-voltage",)))]) == {"under-voltage"}
    assert codes([visit(after=state(throttling_unknown="no /dev/vcio"))]) == {"throttling-unknown"}
    assert codes([visit(2e6, before=state(busy_s=10.0), after=state(busy_s=10.5))]) == {"other-load"}
    assert codes([visit(before=state(swapped_pages=0), after=state(swapped_pages=500))]) == {"swapping"}
    one, other = (visit(before=state(swapped_pages=n), after=state(swapped_pages=n)) for n in (0, 500))
    for session, told in (("first", {"swapping"}), ("second", set())):
        # The earlier one may be of another model, and stand behind.
        later = other.model_copy(update={"started_s": one.started_s + 5, "session": session})
        assert codes([later, one.model_copy(update={"session": "first"})]) == told
    assert codes([visit(warmup_ns=falling)]) == {"unsteady-warm-up"}
    assert codes([visit()], policy=Policy(rounds=2)) == {"few-runs"}
    assert codes([visit()], SETTING.model_copy(update={"clock": Clock.ICOUNT})) == {"emulated-clock"}
